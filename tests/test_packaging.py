"""Check that setup.cfg, the installer and the installed environment agree."""

import configparser
import importlib.util
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
EXTRAS = [text for extra, text in SETUP["options.extras_require"].items() if extra not in ("docs", "openvino")]
LISTS = [SETUP["options"]["install_requires"], *EXTRAS]
REQUIREMENTS = [line for text in LISTS for line in text.split()]


@pytest.fixture
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bare(installer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The installer in a copy of the repository without installed packages."""
    (tmp_path / "tools").mkdir()
    for name in ("setup.cfg", "tools/install.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    venv = tmp_path / ".venv"
    venv.mkdir()
    for name, value in {
        "ROOT": tmp_path,
        "VENV": venv,
        "PYTHON": venv / "bin" / "python",
        "STAMP": venv / "installed",
    }.items():
        monkeypatch.setattr(installer, name, value)
    return installer


# --- pins ---


def test_installed_versions_satisfy_the_pins() -> None:
    assert len(REQUIREMENTS) > 10
    for requirement in map(Requirement, REQUIREMENTS):
        assert requirement.specifier, f"{requirement} has no version"
        assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), requirement


def test_python_satisfies_python_requires() -> None:
    assert SpecifierSet(SETUP["options"]["python_requires"]).contains(".".join(map(str, sys.version_info[:3])))


def test_all_requirements_name_the_same_setuptools() -> None:
    pins = {line for line in REQUIREMENTS if line.startswith("setuptools")}
    (pin,) = pins
    assert f'requires = ["{pin}"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_pip_check_passes() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- OpenCV and mmcv ---


def test_one_distribution_owns_cv2() -> None:
    owners = {
        distribution.metadata["Name"]
        for distribution in metadata.distributions()
        if any(file.parts[0] == "cv2" for file in distribution.files or [])
    }
    assert owners == {"opencv-python-headless"}


@pytest.mark.slow
def test_imports_without_libgl(tmp_path: Path) -> None:
    # The loader finds these invalid files first and fails, as if libGL were absent.
    for name in ("libGL.so.1", "libGL.so"):
        (tmp_path / name).write_text("not a library")
    code = (
        "import ctypes\n"
        "try: ctypes.CDLL('libGL.so.1')\n"
        "except OSError: pass\n"
        "else: raise SystemExit('libGL is not blocked')\n"
        "import cv2, mmcv._ext, mmdet.apis\n"
        "print(cv2.imencode('.png', __import__('numpy').zeros((4, 4), 'uint8'))[0])\n"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["True"]), done.stderr


def test_mmcv_operators_run() -> None:
    import torch
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    _, indices = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), iou_threshold=0.5)
    assert indices.tolist() == [0, 2]


# --- Makefile and CI ---


def make(*arguments: str) -> list[str]:
    """Return the output lines of make, run independently of a parent make."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_make_targets_install_first() -> None:
    assert {line.split()[0] for line in make("help")} >= {"install", "demo", "test", "test-all", "lint", "clean"}
    for target in ("test", "test-all", "lint"):
        first, *others = make("--dry-run", target)
        assert first.endswith("tools/install.py")
        assert others
    demo = make("--dry-run", "demo")
    installation = next(index for index, line in enumerate(demo) if line.endswith("tools/install.py"))
    detection = next(index for index, line in enumerate(demo) if "oil-storage detect" in line)
    training = next(index for index, line in enumerate(demo) if "tools/train.py" in line)
    assert detection < installation < training


@pytest.mark.parametrize("target", ["demo", "test", "test-all"])
def test_failing_make_target_names_the_doctor(target: str, tmp_path: Path) -> None:
    installer = tmp_path / "python"  # stands for the interpreter that runs tools/install.py
    installer.write_text("#!/bin/sh\n")
    installer.chmod(0o755)
    folders = [f"{name}={tmp_path / name}" for name in ("LIGHT", "LOOK", "SCENES", "PREPARED", "WORK")]
    command = ["make", target, f"PYTHON={installer}", "VENV=false", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    python = installer if target == "demo" else "false"  # the demo fails before .venv exists
    assert f"to check the installation: {python} -m oil_storage.cli.main doctor\n" in done.stderr


def test_ci_runs_lint_and_all_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-2:] == ["make lint", "make test-all"]


# --- the installer ---


@pytest.mark.parametrize(("version", "good"), [("3.10.9", False), ("3.11.7", True), ("3.12.0", False)])
def test_only_python_3_11_is_accepted(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, version: str, good: bool
) -> None:
    monkeypatch.setattr(installer.platform, "python_version", lambda: version)
    if good:
        installer.check_python()
    else:
        with pytest.raises(installer.InstallError, match=r"make install PYTHON=python3\.11"):
            installer.check_python()


def stub_steps(installer: ModuleType, monkeypatch: pytest.MonkeyPatch, fail_at: str | None = None) -> list[str]:
    """Replace the slow steps with functions that record their calls."""
    calls: list[str] = []

    def step(name: str, result: object) -> object:
        def call(*_: object) -> object:
            calls.append(name)
            if name == fail_at:
                raise installer.InstallError(name)
            return result

        return call

    steps = ("check_python", "make_venv", "error_of", "pip", "install_empty_opencv", "install_packages")
    for name, result in {**dict.fromkeys(steps), "torch_index": []}.items():
        monkeypatch.setattr(installer, name, step(name, result))
    return calls


def test_second_install_does_nothing(bare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stub_steps(bare, monkeypatch)
    bare.main([])
    assert "install_packages" in calls
    calls.clear()
    bare.main([])
    assert calls == ["check_python"]


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--no-such-option", 2), ("torch", 2)])
def test_help_and_wrong_arguments_install_nothing(
    bare: ModuleType, monkeypatch: pytest.MonkeyPatch, argument: str, status: int
) -> None:
    calls = stub_steps(bare, monkeypatch)
    with pytest.raises(SystemExit) as stop:
        bare.main([argument])
    assert stop.value.code == status
    assert calls == []


def test_a_changed_requirement_installs_again(bare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stub_steps(bare, monkeypatch)
    bare.main([])
    setup = bare.ROOT / "setup.cfg"
    setup.write_text(setup.read_text().replace("tqdm~=4.70", "tqdm~=4.71"))
    calls.clear()
    bare.main([])
    assert "install_packages" in calls


def test_interrupted_install_is_resumed(
    bare: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_steps(bare, monkeypatch, fail_at="install_packages")
    with pytest.raises(SystemExit, match="2"):
        bare.main([])
    assert capsys.readouterr().err == "error: install_packages\n"
    bare.PYTHON.parent.mkdir()
    bare.PYTHON.touch()
    with pytest.raises(SystemExit, match="2"):
        bare.main([])
    assert capsys.readouterr().err.endswith(
        f"to check what is installed: {bare.PYTHON} -m oil_storage.cli.main doctor\n"
    )
    calls = stub_steps(bare, monkeypatch)
    bare.main([])
    assert "install_packages" in calls


def test_venv_of_another_location_or_python_is_created_again(bare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode=0)

    monkeypatch.setattr(bare.subprocess, "run", run)
    config = bare.VENV / "pyvenv.cfg"
    for version, location, is_kept in (
        (platform.python_version(), bare.VENV, True),
        (platform.python_version(), "/elsewhere/.venv", False),
        ("3.10.9", bare.VENV, False),
    ):
        bare.VENV.mkdir(exist_ok=True)
        config.write_text(f"version = {version}\ncommand = {sys.executable} -m venv {location}\n")
        bare.make_venv()
        assert config.exists() == is_kept
    assert commands == [[sys.executable, "-m", "venv", bare.VENV]] * 3


@pytest.mark.parametrize("errors", [[None], ["undefined symbol", None]])
def test_mmcv_for_another_torch_is_compiled_again(
    bare: ModuleType, monkeypatch: pytest.MonkeyPatch, errors: list[str | None]
) -> None:
    rebuilds = len(errors) - 1
    installs: list[tuple[str, ...]] = []
    monkeypatch.setattr(bare, "error_of", lambda _: errors.pop(0))
    monkeypatch.setattr(bare, "pip", lambda *arguments: installs.append(arguments))
    bare.install_packages()
    rebuilt = [a for a in installs if {"--no-cache-dir", "--no-binary=onedl-mmcv", "--force-reinstall"} <= set(a)]
    assert len(rebuilt) == rebuilds


def test_compiled_mmcv_that_cannot_be_imported_is_an_error(bare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare, "error_of", lambda _: "undefined symbol")
    monkeypatch.setattr(bare, "pip", lambda *_: None)
    with pytest.raises(bare.InstallError, match="undefined symbol"):
        bare.install_packages()
