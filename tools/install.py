"""Make .venv from setup.cfg: `make install`.

Needs nothing but the standard library, so that it runs on a bare machine, and reads every version from setup.cfg. Steps
that are done already cost little, so an interrupted run is resumed by running it again; with unchanged pins it
returns at once.

Environment:
    TORCH_INDEX_URL: package index to take torch from, e.g. https://download.pytorch.org/whl/cu126.
    FORCE_CUDA=1: compile mmcv for CUDA on a machine whose GPU is not visible (a login node).
    MAX_JOBS: compilers at a time, default all cores.
    PIP_*: pip's own settings, PIP_FIND_LINKS for carried wheels among them.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import http.client
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# mmcv._ext links against torch's C++ symbols: only importing it in a fresh process shows that the two fit.
# Operators for CUDA are asked for where mmcv's own setup.py would compile them.
PROVE_MMCV = """
import os, sys, torch, mmcv._ext as ext
wants_cuda = torch.cuda.is_available() or os.getenv("FORCE_CUDA") == "1"
if wants_cuda and ext.get_compiling_cuda_version() == "not available":
    sys.exit("mmcv was compiled without CUDA operators")
"""
PROVE_ALL = "import cv2, mmcv._ext, mmdet.apis, pycocotools.mask, oil_storage"
CUDA_OF_TORCH = """
import os, torch
wants_cuda = torch.version.cuda and (torch.cuda.is_available() or os.getenv("FORCE_CUDA") == "1")
print(torch.version.cuda if wants_cuda else "")
"""

# onedl-mmcv, imaug and imagecorruptions ask for opencv-python, which needs libGL and writes the same cv2 folder as
# opencv-python-headless. An empty package of that name, which asks for the headless one, lets pip resolve everything
# with one OpenCV on the disk, `pip check` satisfied, and no later `pip install` bringing the other back.
OPENCV_STAND_IN = """
[project]
name = "opencv-python"
version = "{version}+headless"
description = "Empty: opencv-python-headless serves who asks for opencv-python"
dependencies = ["opencv-python-headless=={version}"]
[tool.setuptools]
packages = []
"""


class InstallError(Exception):
    """The installation cannot go on; the text says in a line or three why and what to do."""


def requirements(section: str, key: str) -> list[str]:
    """Return the requirements of a setup.cfg list, in order, without the comments between them."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config[section][key].split()


def pinned(name: str) -> str:
    """Return the version that ``install_requires`` pins ``name`` to with ``==``."""
    return next(r.split("==")[1] for r in requirements("options", "install_requires") if r.startswith(f"{name}=="))


def check_python(version: tuple[int, int]) -> None:
    """Raise InstallError unless ``version`` (major, minor) satisfies ``python_requires``."""
    (wanted,) = requirements("options", "python_requires")
    low, high = (tuple(map(int, bound)) for bound in re.findall(r"(\d+)\.(\d+)", wanted))
    if not low <= version < high:
        needed = "{}.{}".format(*low)
        raise InstallError(
            f"Python {needed} is needed ({wanted}) and {sys.executable} is {version[0]}.{version[1]}: "
            f"make install PYTHON=python{needed}"
        )


def check_compiler() -> None:
    """Raise InstallError where a C++ compiler or Python's headers are missing."""
    compiler = os.environ.get("CXX", "c++").split()[0]
    if shutil.which(compiler) is None:
        raise InstallError(f"no C++ compiler ({compiler}) to compile mmcv with: apt install g++, or set CXX")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        raise InstallError(f"no Python headers ({header}) to compile mmcv with: apt install python3-dev")


def nvcc_fault(torch_cuda: str, nvcc_version: str | None) -> str | None:
    """Say what keeps nvcc from compiling mmcv for this torch.

    Args:
        torch_cuda: CUDA version of torch, "13.0".
        nvcc_version: output of ``nvcc --version``, None where there is no nvcc.

    Returns:
        str | None: the fault in one line, None where major and minor agree.
    """
    if nvcc_version is None:
        return f"torch is built for CUDA {torch_cuda} and there is no nvcc"
    match = re.search(r"release (\d+\.\d+)", nvcc_version)
    found = match.group(1) if match else "of unknown version"
    return None if found == torch_cuda else f"torch is built for CUDA {torch_cuda} and nvcc is {found}"


def check_nvcc() -> None:
    """Raise InstallError where mmcv would be compiled for CUDA and nvcc does not fit torch."""
    torch_cuda = output_of(PYTHON, "-c", CUDA_OF_TORCH)
    if not torch_cuda:
        return
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    # The order in which torch looks for it.
    nvcc = f"{home}/bin/nvcc" if home else shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    fault = nvcc_fault(torch_cuda, output_of(nvcc, "--version") if Path(nvcc).is_file() else None)
    if fault:
        raise InstallError(
            f"{fault}; install the CUDA toolkit {torch_cuda} and set CUDA_HOME to it,\n"
            f"or take a prebuilt wheel: {PYTHON} -m pip install onedl-mim && "
            f"{VENV}/bin/mim install onedl-mmcv=={pinned('onedl-mmcv')}\nand then: make install"
        )


def output_of(*command: str | Path) -> str:
    """Return what a command prints on stdout; raise InstallError with its last line of stderr where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InstallError(f"{command[0]} failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return done.stdout.strip()


def fault_of(code: str) -> str | None:
    """Run Python code in a fresh process of .venv; return the last line of its complaint, None where it is well."""
    try:
        output_of(PYTHON, "-c", code)
    except InstallError as error:
        return str(error)
    return None


def pip(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run .venv's ``pip install``, quiet but for its warnings; raise InstallError where it fails."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    # A `user = true` in somebody's pip.conf must not lead out of .venv.
    if subprocess.run(command, cwd=ROOT, env={**os.environ, "PIP_USER": "0", **(environment or {})}).returncode:
        raise InstallError("pip failed, see above; what is installed stays, `make install` goes on from here")


def make_venv() -> None:
    """Make .venv, anew where it belongs to another Python or another place."""
    owner = f"{sys.version_info[0]}.{sys.version_info[1]} {ROOT}"
    if STAMP.is_file() and STAMP.read_text().splitlines()[:1] != [owner]:
        shutil.rmtree(VENV)
    probe = f"import pip, sys; assert sys.version_info[:2] == {sys.version_info[:2]}"
    if not PYTHON.exists() or fault_of(probe):
        create = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        if importlib.util.find_spec("ensurepip"):
            output_of(*create)
        elif importlib.util.find_spec("pip"):
            # Debian keeps ensurepip in python3-venv; the system's pip does as well.
            output_of(*create, "--without-pip")
            output_of(sys.executable, "-m", "pip", f"--python={PYTHON}", "install", "--quiet", "pip")
        else:
            raise InstallError(f"{sys.executable} has neither pip nor ensurepip: apt install python3-pip")
    STAMP.write_text(f"{owner}\n")


def torch_index() -> list[str]:
    """Return pip's arguments for the index that has the torch to take.

    The default index carries the CUDA build. A machine without an NVIDIA driver takes the CPU build, a tenth in
    size, where its index answers; behind a closed network pip's own settings decide.
    """
    url = os.environ.get("TORCH_INDEX_URL")
    if not url and shutil.which("nvidia-smi") is None:
        try:
            urllib.request.urlopen(f"{CPU_INDEX}/torch/", timeout=3).close()
            url = CPU_INDEX
        except (OSError, http.client.HTTPException):
            print(f"  {CPU_INDEX} does not answer: pip takes the torch that its own index has")
    return ["--extra-index-url", url] if url else []


def has_wheel(requirement: str) -> bool:
    """Tell whether pip knows a wheel of ``requirement``, so that nothing is compiled."""
    command = [PYTHON, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:"]
    return subprocess.run([*command, requirement], capture_output=True).returncode == 0


def install_opencv_stand_in() -> None:
    """Install the empty opencv-python, removing a real one together with the headless one whose files it shares."""
    version = pinned("opencv-python-headless")
    code = "import importlib.metadata as m; print(*(d.version for d in m.distributions(name='opencv-python')))"
    found = output_of(PYTHON, "-c", code)
    if found == f"{version}+headless":
        return
    if found:
        output_of(PYTHON, "-m", "pip", "uninstall", "--yes", "opencv-python", "opencv-python-headless")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(OPENCV_STAND_IN.format(version=version))
        pip("--no-deps", "--no-build-isolation", folder)


def mmcv_requirement() -> str:
    """Return setup.cfg's requirement of mmcv."""
    return f"onedl-mmcv=={pinned('onedl-mmcv')}"


def install_packages() -> None:
    """Install everything that setup.cfg names, mmcv so that its compiled operators import."""
    environment = {
        # Debug info more than doubles the time that mmcv takes.
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -g0".strip(),
        "MAX_JOBS": os.environ.get("MAX_JOBS", str(len(os.sched_getaffinity(0)))),
    }
    if fault_of(PROVE_MMCV) and not has_wheel(mmcv_requirement()):
        check_compiler()
        check_nvcc()
        print("  compiling mmcv, unless pip has cached it: about 18 CPU minutes, silent")
    pip("--no-build-isolation", "--editable", ".[dev]", environment=environment)
    fault = fault_of(PROVE_MMCV)
    if fault is None:
        return
    print(f"  the mmcv that pip took does not fit this torch: {fault}")
    check_compiler()
    check_nvcc()
    print("  compiling mmcv anew: about 18 CPU minutes, silent")
    # pip names a cached wheel by version and Python, not by the torch it was compiled against.
    anew = ["--no-deps", "--force-reinstall", "--no-cache-dir", "--no-binary=onedl-mmcv", "--no-build-isolation"]
    pip(*anew, mmcv_requirement(), environment=environment)
    fault = fault_of(PROVE_MMCV)
    if fault:
        raise InstallError(f"mmcv was compiled and still does not import: {fault}")


def digest() -> str:
    """Return the hash that changes when another installation would come out."""
    parts = [(ROOT / name).read_bytes() for name in ("setup.cfg", "tools/install.py")]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode(), str(ROOT).encode()])).hexdigest()


def install() -> None:
    """Install everything into .venv and stamp it; return at once where the stamp is that of the present pins."""
    check_python(sys.version_info[:2])
    if STAMP.is_file() and STAMP.read_text().splitlines()[1:] == [digest()]:
        return
    print(f"[1/4] {VENV}")
    make_venv()
    if fault_of("import mmcv._ext") and not has_wheel(mmcv_requirement()):
        check_compiler()  # now rather than after the download of torch
    print("[2/4] torch and what mmcv is built with")
    pip(*requirements("options.extras_require", "build"), *torch_index())
    install_opencv_stand_in()
    print("[3/4] the packages of setup.cfg")
    install_packages()
    print("[4/4] check")
    fault = fault_of(PROVE_ALL)
    if fault:
        raise InstallError(f"the packages do not import: {fault}\nremove {VENV} and run make install again")
    output_of(PYTHON, "-m", "pip", "check")
    STAMP.write_text(f"{STAMP.read_text().splitlines()[0]}\n{digest()}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Install; return 0, or 2 with one ``error:`` line on stderr. There is no option but ``--help``."""
    parser = argparse.ArgumentParser(
        prog="install.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(argv)
    try:
        install()
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: make install goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
