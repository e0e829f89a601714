"""Make .venv from setup.cfg: `make install`.

The script needs only the standard library and reads every version from setup.cfg. It can be run again after an
interruption, and returns at once when the pins have not changed.

Environment:
    TORCH_INDEX_URL: package index to take torch from, e.g. https://download.pytorch.org/whl/cu126.
    FORCE_CUDA=1: compile mmcv for CUDA on a machine whose GPU is not visible (a login node).
    MAX_JOBS: number of parallel compilers, default all cores.
    PIP_*: settings of pip, e.g. PIP_FIND_LINKS for a folder of wheels.
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
import sysconfig
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# mmcv._ext links against torch's C++ symbols, so only an import shows whether the two fit.
PROVE_MMCV = """
import os, sys, torch, mmcv._ext as ext
wants_cuda = torch.cuda.is_available() or os.getenv("FORCE_CUDA") == "1"
if wants_cuda and ext.get_compiling_cuda_version() == "not available":
    sys.exit("mmcv was compiled without CUDA operators")
"""
PROVE_ALL = "import cv2, mmcv._ext, mmdet.apis, pycocotools.mask, oil_storage"

# onedl-mmcv, imaug and imagecorruptions require opencv-python, which needs libGL and shares its files with
# opencv-python-headless. An empty package of that name satisfies them with one OpenCV on the disk.
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
    """A reason to stop, with the remedy."""


def requirements(section: str, key: str) -> list[str]:
    """Return the requirements of a list in setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config[section][key].split()


def requirement(name: str) -> str:
    """Return the requirement ``name==version`` of setup.cfg."""
    return next(line for line in requirements("options", "install_requires") if line.startswith(f"{name}=="))


def check_python() -> None:
    """Raise InstallError unless this Python satisfies ``python_requires``, as ``>=3.11,<3.12``."""
    needed = requirements("options", "python_requires")[0].removeprefix(">=").partition(",")[0]
    version = platform.python_version()
    if not version.startswith(f"{needed}."):
        raise InstallError(
            f"Python {needed} is needed and {sys.executable} is {version}: make install PYTHON=python{needed}"
        )


def check_compiler() -> None:
    """Raise InstallError if the C++ compiler or the headers of Python are missing."""
    compiler = os.environ.get("CXX", "c++").split()[0]
    if shutil.which(compiler) is None:
        raise InstallError(f"no C++ compiler ({compiler}) to compile mmcv with: apt install g++, or set CXX")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        raise InstallError(f"no Python headers ({header}) to compile mmcv with: apt install python3-dev")


def error_of(code: str) -> str | None:
    """Run Python code in a new process of .venv; return its last line of stderr, or None if it succeeds."""
    process = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    return (process.stderr.strip() or "no message").splitlines()[-1] if process.returncode else None


def pip(command: str, *arguments: str) -> None:
    """Run pip of .venv; raise InstallError if it fails."""
    environment = {
        "MAX_JOBS": str(len(os.sched_getaffinity(0))),
        **os.environ,
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -g0",  # debug info doubles the time that mmcv takes to compile
        "PIP_USER": "0",  # `user = true` in pip.conf would install outside .venv
    }
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    if subprocess.run([PYTHON, "-m", "pip", command, *options, *arguments], cwd=ROOT, env=environment).returncode:
        raise InstallError("pip failed, see above; what is installed stays, `make install` goes on from here")


def make_venv() -> None:
    """Make .venv; keep what is in it if this Python made it in this place."""
    config = VENV / "pyvenv.cfg"
    lines = config.read_text().splitlines() if config.is_file() else []
    is_own = f"version = {platform.python_version()}" in lines and any(line.endswith(f" {VENV}") for line in lines)
    if VENV.exists() and not is_own:
        shutil.rmtree(VENV)  # refuses a link to another repository's
    if subprocess.run([sys.executable, "-m", "venv", VENV]).returncode:
        raise InstallError(f"{sys.executable} cannot make {VENV}, see above: apt install python3-venv")


def torch_index() -> list[str]:
    """Return pip's arguments for the index of torch: of CPU builds, a tenth in size, if there is no NVIDIA driver."""
    url = os.environ.get("TORCH_INDEX_URL")
    if not url and shutil.which("nvidia-smi") is None:
        try:
            urllib.request.urlopen(f"{CPU_INDEX}/torch/", timeout=3).close()
            url = CPU_INDEX
        except (OSError, http.client.HTTPException):
            print(f"  {CPU_INDEX} does not answer: torch comes from pip's own index")
    return ["--extra-index-url", url] if url else []


def install_empty_opencv() -> None:
    """Install the empty opencv-python."""
    version = requirement("opencv-python-headless").split("==")[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(EMPTY_OPENCV.format(version=version))
        pip("install", "--no-deps", "--no-build-isolation", folder)


def install_packages() -> None:
    """Install the packages of setup.cfg; compile mmcv again if the one that pip took does not fit torch."""
    try:
        pip("install", "--no-build-isolation", "--editable", ".[dev]")
    except InstallError:
        check_compiler()  # only now: a wheel of mmcv needs none
        raise
    if not (error := error_of(PROVE_MMCV)):
        return
    print(f"  mmcv does not fit this torch and is compiled again, about 18 CPU minutes, silent: {error}")
    check_compiler()
    # pip caches a wheel by version and Python, not by the torch that it was compiled against.
    options = ["--no-deps", "--force-reinstall", "--no-cache-dir", "--no-binary=onedl-mmcv", "--no-build-isolation"]
    pip("install", *options, requirement("onedl-mmcv"))
    if error := error_of(PROVE_MMCV):
        raise InstallError(f"mmcv was compiled and still does not import: {error}")


def digest() -> str:
    """Return a hash of all that decides what is installed."""
    scripts = (ROOT / "setup.cfg").read_bytes() + (ROOT / "tools" / "install.py").read_bytes()
    return hashlib.sha256(scripts + f"{sys.version}{ROOT}".encode()).hexdigest()


def install() -> None:
    """Install everything into .venv, unless it was installed with the present pins."""
    check_python()
    if STAMP.is_file() and STAMP.read_text() == digest():
        return
    print(f"[1/4] {VENV}")
    make_venv()
    print("[2/4] torch and what mmcv is built with")
    pip("install", *requirements("options.extras_require", "build"), *torch_index())
    install_empty_opencv()
    print("[3/4] the packages of setup.cfg; compiling mmcv, if pip has no wheel, takes 18 CPU minutes, silent")
    install_packages()
    print("[4/4] check")
    if error := error_of(PROVE_ALL):
        raise InstallError(f"the packages do not import: {error}\nremove {VENV} and run make install again")
    pip("check")
    STAMP.write_text(digest())


def main(argv: list[str] | None = None) -> None:
    """Install; exit with status 2 and one ``error:`` line on stderr if that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    try:
        install()
    except InstallError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
