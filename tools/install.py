"""Install the packages in setup.cfg into .venv; `make install` runs this script.

The script requires only the standard library. After an interruption, run it again to continue. It returns immediately
if the requirements have not changed.

Environment:
    TORCH_INDEX_URL: package index for torch, e.g. https://download.pytorch.org/whl/cu126.
    FORCE_CUDA=1: compile mmcv with CUDA on a machine without a visible GPU, such as a login node.
    MAX_JOBS: number of parallel compiler processes (default: number of cores).
    PIP_*: settings of pip, e.g. PIP_FIND_LINKS, a folder of wheels.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import http.client
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# mmcv._ext links against the C++ symbols of torch. Only an import shows whether mmcv and torch are compatible.
CHECK_MMCV = """
import os, sys, torch, mmcv._ext as ext
wants_cuda = torch.cuda.is_available() or os.getenv("FORCE_CUDA") == "1"
if wants_cuda and ext.get_compiling_cuda_version() == "not available":
    sys.exit("mmcv was compiled without CUDA operators")
"""
CHECK_ALL = "import cv2, mmcv._ext, mmdet.apis, pycocotools.mask, oil_storage"

# onedl-mmcv, imaug and imagecorruptions require opencv-python, which needs libGL and overwrites the files of
# opencv-python-headless. An empty package named opencv-python satisfies the requirement.
EMPTY_OPENCV = """
[project]
name = "opencv-python"
version = "{version}+headless"
description = "Empty package that requires opencv-python-headless"
dependencies = ["opencv-python-headless=={version}"]
[tool.setuptools]
packages = []
"""


class InstallError(Exception):
    """Error that stops the installation; the message contains the remedy."""


def requirements(section: str, key: str) -> list[str]:
    """Return the lines of a list in setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config[section][key].split()


def requirement(name: str) -> str:
    """Return the requirement ``name==version`` from setup.cfg."""
    lines = requirements("options", "install_requires") + requirements("options.extras_require", "train")
    return next(line for line in lines if line.startswith(f"{name}=="))


def check_python() -> None:
    """Raise InstallError unless this Python has the lowest version of ``python_requires``, the one of the tests."""
    needed = requirements("options", "python_requires")[0].removeprefix(">=").partition(",")[0]
    version = platform.python_version()
    if not version.startswith(f"{needed}."):
        raise InstallError(f"{sys.executable}: is Python {version}; run: make install PYTHON=python{needed}")


def error_of(code: str) -> str | None:
    """Run code with the Python of .venv; return the last line of stderr, or None if the code succeeds."""
    process = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    return (process.stderr.strip() or "no message").splitlines()[-1] if process.returncode else None


def pip(command: str, *arguments: str) -> None:
    """Run the pip of .venv; raise InstallError if it fails."""
    environment = {
        "MAX_JOBS": str(len(os.sched_getaffinity(0))),
        **os.environ,
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -g0",  # debug information doubles the compile time of mmcv
        "PIP_USER": "0",  # `user = true` in pip.conf would install outside .venv
    }
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    if subprocess.run([PYTHON, "-m", "pip", command, *options, *arguments], cwd=ROOT, env=environment).returncode:
        raise InstallError("pip failed, see above; install g++ and python3-dev, and run make install again")


def make_venv() -> None:
    """Create .venv. Keep an existing one if the same Python version created it in the same folder."""
    config = VENV / "pyvenv.cfg"
    lines = config.read_text().splitlines() if config.is_file() else []
    is_own = f"version = {platform.python_version()}" in lines and any(line.endswith(f" {VENV}") for line in lines)
    if VENV.exists() and not is_own:
        shutil.rmtree(VENV)  # raises OSError for a symbolic link to another .venv
    if subprocess.run([sys.executable, "-m", "venv", VENV]).returncode:
        raise InstallError(f"{sys.executable}: cannot create {VENV}, see above; run: apt install python3-venv")


def torch_index() -> list[str]:
    """Return pip's arguments for the torch index. Without an NVIDIA driver, use the ten times smaller CPU builds."""
    url = os.environ.get("TORCH_INDEX_URL")
    if not url and shutil.which("nvidia-smi") is None:
        try:
            urllib.request.urlopen(f"{CPU_INDEX}/torch/", timeout=3).close()
            url = CPU_INDEX
        except (OSError, http.client.HTTPException):
            print(f"  {CPU_INDEX}: no response; torch is installed from the default index of pip")
    return ["--extra-index-url", url] if url else []


def install_empty_opencv() -> None:
    """Install an empty package named opencv-python."""
    version = requirement("opencv-python-headless").split("==")[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(EMPTY_OPENCV.format(version=version))
        pip("install", "--no-deps", "--no-build-isolation", folder)


def install_packages() -> None:
    """Install the packages in setup.cfg; compile mmcv again if its wheel is incompatible with torch."""
    pip("install", "--no-build-isolation", "--editable", ".[train,dev]")
    if not (error := error_of(CHECK_MMCV)):
        return
    print(f"  mmcv is incompatible with this torch ({error}); compiling it again takes about 18 CPU minutes")
    # pip's cache may contain a wheel that was compiled for another torch
    options = ["--no-deps", "--force-reinstall", "--no-cache-dir", "--no-binary=onedl-mmcv", "--no-build-isolation"]
    pip("install", *options, requirement("onedl-mmcv"))
    if error := error_of(CHECK_MMCV):
        raise InstallError(
            f"mmcv cannot be imported after compiling it: {error}; delete .venv and run make install again"
        )


def digest() -> str:
    """Return a hash of everything that determines which packages are installed."""
    scripts = (ROOT / "setup.cfg").read_bytes() + (ROOT / "tools" / "install.py").read_bytes()
    return hashlib.sha256(scripts + f"{sys.version}{ROOT}".encode()).hexdigest()


def install() -> None:
    """Install all packages into .venv unless they are already installed with the current requirements."""
    check_python()
    if STAMP.is_file() and STAMP.read_text() == digest():
        return
    print(f"[1/4] {VENV}")
    make_venv()
    print("[2/4] torch and the build requirements of mmcv")
    pip("install", *requirements("options.extras_require", "build"), *torch_index())
    install_empty_opencv()
    print("[3/4] packages in setup.cfg; if there is no wheel of mmcv, compiling it takes about 18 CPU minutes")
    install_packages()
    print("[4/4] import check")
    if error := error_of(CHECK_ALL):
        raise InstallError(f"the packages cannot be imported ({error});\nremove {VENV} and run make install again")
    pip("check")
    STAMP.write_text(digest())


def main(argv: list[str] | None = None) -> None:
    """Install; on failure, print ``error:`` with the reason to stderr and exit with status 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    try:
        install()
    except InstallError as error:
        doctor = f"to check what is installed: {PYTHON} -m oil_storage.cli.main doctor\n" if PYTHON.exists() else ""
        parser.exit(2, f"error: {error}\n{doctor}")


if __name__ == "__main__":
    main()
