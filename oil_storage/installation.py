"""Checks of the installation, of the processor and GPU, and of the prepared data.

The module imports only the standard library at the top, so that it works if packages are missing. Compiled packages are
imported in a new process, because they may crash.
"""

import configparser
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from oil_storage import shipped
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

REINSTALL = "rm -f .venv/installed && make install"
"""Command that repairs the training stack; without the removed file, the installer would return at once."""
DATA = "data/oil_storage"
"""Prepared folder that the configs read unless OIL_STORAGE_DATA is set."""
LONGEST_IMPORT = 300
"""Maximum time of an import in seconds. The first import of torch from a slow disk takes a minute."""
LEAST_DISK, LEAST_SHARED_MEMORY = 10**9, 2**28
"""Free bytes that a training run needs on the disk, and in /dev/shm for the batches of its data workers."""

GDAL = """
import json, pyogrio, rasterio
from rasterio.crs import CRS
from rasterio.warp import transform
transform(CRS.from_epsg(4326), CRS.from_epsg(32631), [3.0], [52.0])
if pyogrio.get_gdal_data_path() is None:
    raise SystemExit("pyogrio does not find the data of GDAL")
print(json.dumps(f"GDAL {rasterio.__gdal_version__} and PROJ {rasterio.__proj_version__} in rasterio "
                 f"{rasterio.__version__}, GDAL {pyogrio.__gdal_version_string__} in pyogrio {pyogrio.__version__}"))
"""
ONNX_RUNTIME = """
import json, onnxruntime
print(json.dumps([onnxruntime.__version__, onnxruntime.get_available_providers()]))
"""
TORCH = """
import json, torch
print(json.dumps([torch.__version__, torch.version.cuda, torch.cuda.is_available()]))
"""
MMCV = """
import json, mmcv, torch, mmcv._ext as ext
print(json.dumps([mmcv.__version__, ext.get_compiling_cuda_version()]))
"""


class Check(NamedTuple):
    """Result of a check.

    Attributes:
        name: what was checked.
        found: what is there, or what is wrong.
        remedy: command that solves the problem; empty if there is no problem.
    """

    name: str
    found: str
    remedy: str = ""


def check_installation() -> Iterator[Check]:
    """Check everything; yield each result at once, because some checks take seconds."""
    for check in (python, processor, packages, opencv, gdal, detector, onnx_runtime, training_stack, storage, data):
        try:
            yield from check()
        except Exception as error:  # one broken package must not hide the results of the other checks
            source = str(shipped.ROOT) if _setup() else "WHEEL"
            yield Check(check.__name__.replace("_", " "), f"cannot be checked: {error}", _pip(source))


def python() -> Iterator[Check]:
    """Check the version of Python."""
    found = f"{platform.python_version()} ({sys.executable})"
    needed = _needed_python()
    low, high = (tuple(map(int, version)) for version in re.findall(r"(\d+)\.(\d+)", needed)[:2])
    supported = min(low, high) <= sys.version_info[:2] < max(low, high)
    remedy = f"make install PYTHON=python{'.'.join(map(str, min(low, high)))}"
    yield Check("Python", found) if supported else Check("Python", f"{found}; needs {needed}", remedy)


def processor() -> Iterator[Check]:
    """Describe the processor and the instructions that detection and training use."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    fields = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", text, flags=re.M))
    flags = set(fields.get("flags", "").split())
    instructions = {
        "AVX2": "avx2",
        "AVX-512": "avx512bw",
        "VNNI": "avx512_vnni",
        "bfloat16": "avx512_bf16",
        "AMX": "amx_bf16",
    }
    sets = ", ".join(f"{name} {'yes' if flag in flags else 'no'}" for name, flag in instructions.items())
    precision = "bfloat16" if {"avx512bw", "avx512vl", "avx512dq"} <= flags else "float32"
    cores = len(os.sched_getaffinity(0))
    model = fields.get("model name", platform.machine())
    yield Check("processor", f"{model}, {cores} of {os.cpu_count()} cores; {sets}; training computes in {precision}")


def packages() -> Iterator[Check]:
    """Check that the packages for detection and preparation have the required versions."""
    required = _requirements("")
    bad = _unmet(required)
    if bad:
        yield Check("packages", _listed(bad), _pip(*(str(requirement) for requirement in bad)))
    else:
        yield Check("packages", f"{len(required)} packages for detection and preparation, in the required versions")


def opencv() -> Iterator[Check]:
    """Check that OpenCV can be imported."""
    version, error = _output_of("import json, cv2; print(json.dumps(cv2.__version__))")
    repair = "opencv-python opencv-python-headless"
    remedy = f"{sys.executable} -m pip uninstall --yes {repair} && {_pip(*_named('opencv-python-headless'))}"
    yield Check("OpenCV", error, remedy) if error else Check("OpenCV", version)


def gdal() -> Iterator[Check]:
    """Check that rasterio and pyogrio find the data of their GDAL and PROJ."""
    found, error = _output_of(GDAL)
    remedy = _pip("--force-reinstall", "--no-deps", *_named("rasterio"), *_named("pyogrio"))
    yield Check("GDAL, PROJ", error, remedy) if error else Check("GDAL, PROJ", found)


def detector() -> Iterator[Check]:
    """Look for the shipped detector."""
    try:
        _, weights = shipped.detector()
        yield Check("detector", f"{weights} ({shipped.LICENCE.partition(':')[0]})")
    except UserError:
        yield Check("detector", "none is shipped with this installation; detection needs --config and --weights")


def onnx_runtime() -> Iterator[Check]:
    """Check the backend ``onnx``."""
    found, error = _output_of(ONNX_RUNTIME)
    if error:
        remedy = _pip("--force-reinstall", "--no-deps", *_named("onnxruntime"))
        yield Check("backend onnx", error, remedy)
    else:
        version, providers = found
        computes = "CPU and CUDA" if "CUDAExecutionProvider" in providers else "CPU"
        yield Check("backend onnx", f"ONNX Runtime {version} ({computes})")


def training_stack() -> Iterator[Check]:
    """Check the backend ``torch``, CUDA and the packages of OpenMMLab, if torch is installed."""
    required = _requirements("train")
    bad = _unmet(required)
    if "torch" in {requirement.name for requirement in bad if _version(requirement.name) is None}:
        driver, _ = _nvidia_driver()
        yield Check("GPU", driver or "no NVIDIA driver")
        yield Check("backend torch", "not installed; `make install` in a clone installs it, for training and testing")
        return
    found, error = _output_of(TORCH)
    if error:
        yield Check("backend torch", error, REINSTALL)
        return
    version, built_for, sees_gpu = found
    yield Check("backend torch", f"torch {version}, built for {f'CUDA {built_for}' if built_for else 'the CPU'}")
    yield _gpu(built_for, sees_gpu)
    nvcc = _nvcc()
    yield Check("nvcc", f"CUDA {nvcc}" if nvcc else "not found; only compiling mmcv for a GPU needs it")
    if bad:
        yield Check("mm packages", _listed(bad), REINSTALL)
    else:
        yield Check("mm packages", f"{len(required)} packages for training, in the required versions")
    yield _operators(built_for if sees_gpu else None, nvcc)
    found, error = _output_of("import json, mmengine, mmdet.apis; print(json.dumps(mmdet.__version__))")
    yield Check("mmdet", error, REINSTALL) if error else Check("mmdet", found)


def _gpu(built_for: str | None, sees_gpu: bool) -> Check:
    """Check that torch uses the GPU if there is one."""
    driver, error = _nvidia_driver()
    if error:
        return Check("GPU", f"nvidia-smi fails: {error}", "nvidia-smi; if it still fails, install the driver again")
    if not driver:
        return Check("GPU", "no NVIDIA driver; torch computes on the CPU")
    if sees_gpu:
        return Check("GPU", driver)
    if (hidden := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return Check("GPU", f"{driver}; hidden by CUDA_VISIBLE_DEVICES={hidden!r}, torch computes on the CPU")
    if built_for is None:
        return Check("GPU", f"{driver}; this torch is built for the CPU", "rm -rf .venv && make install")
    remedy = "TORCH_INDEX_URL=https://download.pytorch.org/whl/cu126 make install, or a newer driver"
    return Check("GPU", f"{driver}; this torch needs a driver for CUDA {built_for}", f"rm -rf .venv && {remedy}")


def _operators(cuda: str | None, nvcc: str | None) -> Check:
    """Check that the compiled operators of mmcv fit to torch, and have kernels for the GPU.

    Args:
        cuda: CUDA version of torch; None if torch sees no GPU.
        nvcc: CUDA version of the compiler; None if there is none.
    """
    found, error = _output_of(MMCV)
    if error:
        return Check("mmcv._ext", error, REINSTALL)
    version, compiled_for = found
    if cuda is None or compiled_for == cuda:
        return Check("mmcv._ext", f"mmcv {version}, compiled for this torch")
    problem = f"mmcv {version}, compiled for CUDA: {compiled_for}; torch: {cuda}"
    if nvcc is None or nvcc.partition(".")[0] != cuda.partition(".")[0]:
        return Check("mmcv._ext", problem, f"CUDA_HOME=/usr/local/cuda-{cuda} {REINSTALL} (first install CUDA {cuda})")
    return Check("mmcv._ext", problem, REINSTALL)


def storage() -> Iterator[Check]:
    """Check the free space of the current folder, and the shared memory for data workers."""
    free = shutil.disk_usage(".").free
    found = f"{free / 1e9:.1f} GB free in {Path.cwd()}"
    yield Check("disk", found, "" if free >= LEAST_DISK else "du -sh data work_dirs ~/.cache, then delete what you can")
    if Path("/dev/shm").is_dir():
        free = shutil.disk_usage("/dev/shm").free
        found = f"{free / 1e9:.2f} GB free in /dev/shm"
        remedy = "mount -o remount,size=1G /dev/shm (in Docker: docker run --shm-size=1g)"
        yield Check("shared memory", found, "" if free >= LEAST_SHARED_MEMORY else remedy)


def data() -> Iterator[Check]:
    """Check the manifest of the prepared folder."""
    from oil_storage.manifest import NAME, Manifest

    given = os.environ.get("OIL_STORAGE_DATA")
    folder = Path(given or DATA)
    if not (folder / NAME).is_file():
        origin = "OIL_STORAGE_DATA" if given else "OIL_STORAGE_DATA is not set"
        remedy = shlex.join(["oil-storage", "prepare", "SOURCE", str(folder)]) if given else ""
        yield Check("data", f"{folder}: no {NAME} ({origin})", remedy)
        return
    try:
        manifest = Manifest.load(folder)
    except UserError as error:
        yield Check("data", str(error), shlex.join(["oil-storage", "prepare", "SOURCE", str(folder)]))
        return
    scenes = sum(counts.scenes for counts in manifest.counts.values())
    missing = [name for name in manifest.tiles if not (folder / "tiles" / name).is_dir()]
    remedy = shlex.join(["oil-storage", "prepare", str(manifest.source.path), str(folder)]) if missing else ""
    found = f"{folder}: {scenes} scenes of {manifest.source.path.name}, tiles {', '.join(manifest.tiles) or 'none'}"
    yield Check("data", f"{found}; missing: {', '.join(missing)}" if missing else found, remedy)


def _output_of(code: str) -> tuple[Any, str]:
    """Run code in a new process. Return the JSON value in its last line, and why it failed (empty if it did not)."""
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_IMPORT)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {LONGEST_IMPORT} s"
    if done.returncode < 0:
        return None, f"crashes when it is imported (signal {-done.returncode})"
    if done.returncode:
        return None, (done.stderr.strip() or "no message").splitlines()[-1]
    return json.loads(done.stdout.splitlines()[-1]), ""


def _nvidia_driver() -> tuple[str, str]:
    """Return a description of the GPUs and the driver, and why nvidia-smi failed. Both are empty without a driver."""
    if shutil.which("nvidia-smi") is None:
        return "", ""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=LONGEST_IMPORT)
    lines = (done.stdout.strip() or done.stderr.strip() or "no message").splitlines()
    return (", ".join(lines), "") if done.returncode == 0 else ("", lines[-1])


def _nvcc() -> str | None:
    """Return the CUDA version of the nvcc that torch would use to compile; None if there is none."""
    home = os.environ.get("CUDA_HOME")
    folders = [f"{home}/bin" if home else "", os.environ.get("PATH", ""), "/usr/local/cuda/bin"]
    path = shutil.which("nvcc", path=os.pathsep.join(filter(None, folders)))
    if path is None:
        return None
    version = re.search(
        r"release (\d+\.\d+)", subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    )
    return version[1] if version else None


def _setup() -> configparser.ConfigParser | None:
    """Return setup.cfg of a clone; None for an installed wheel."""
    config = configparser.ConfigParser()
    return config if config.read(shipped.ROOT / "setup.cfg", encoding="utf-8") and "options" in config else None


def _needed_python() -> str:
    """Return the versions of Python that the package runs on, e.g. ``>=3.11,<3.14``."""
    setup = _setup()
    return setup["options"]["python_requires"] if setup else metadata.metadata("oil-storage")["Requires-Python"]


def _requirements(extra: str) -> list["Requirement"]:
    """Return the requirements of an extra from setup.cfg or from the metadata of the wheel.

    Args:
        extra: name of the extra; the empty string stands for the packages that are always required.
    """
    from packaging.requirements import Requirement

    if setup := _setup():
        lines = setup["options.extras_require"][extra] if extra else setup["options"]["install_requires"]
        return [Requirement(line) for line in lines.split()]
    everything = [Requirement(line) for line in metadata.requires("oil-storage") or []]
    if not extra:
        return [requirement for requirement in everything if requirement.marker is None]
    return [one for one in everything if one.marker and one.marker.evaluate({"extra": extra})]


def _named(name: str) -> list[str]:
    """Return the requirement of a package as a list with at most one item."""
    return [str(requirement) for requirement in _requirements("") if requirement.name == name]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _unmet(requirements: Iterable["Requirement"]) -> list["Requirement"]:
    """Return the requirements whose package is missing or has another version."""
    versions = ((requirement, _version(requirement.name)) for requirement in requirements)
    return [
        requirement
        for requirement, version in versions
        if version is None or not requirement.specifier.contains(version, prereleases=True)
    ]


def _listed(requirements: Iterable["Requirement"]) -> str:
    """Describe unmet requirements."""
    return ", ".join(f"{one.name} {_version(one.name) or 'missing'} (needs {one.specifier})" for one in requirements)


def _pip(*arguments: str) -> str:
    """Return the command that installs packages into this environment."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])
