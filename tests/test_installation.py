import os
import stat
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from oil_storage import installation
from oil_storage.cli.doctor import main
from oil_storage.installation import Check, check_installation
from oil_storage.manifest import Choices, Manifest, SceneCounts, Source, TileCounts, TileSet

NO_GPU, GPU = ("", ""), ("NVIDIA H200, 143771 MiB, 580.65", "")


def checks(function: Any) -> dict[str, Check]:
    return {check.name: check for check in function()}


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, str]]:
    """What the imports in new processes give; the imports of a machine with two CPU cores, which a test can replace."""
    answers: dict[str, tuple[Any, str]] = {
        "cv2": ("4.12.0", ""),
        "rasterio": ("GDAL 3.10.3", ""),
        "onnxruntime": (["1.32.0", ["CPUExecutionProvider"]], ""),
        "mmcv._ext": (["2.3.6", "not available"], ""),
        "mmdet": ("3.5.1", ""),
        "torch": (["2.13.0+cpu", None, False], ""),
    }
    monkeypatch.setattr(installation, "_output_of", lambda code: next(answers[key] for key in answers if key in code))
    monkeypatch.setattr(installation, "_nvidia_driver", lambda: NO_GPU)
    monkeypatch.setattr(installation, "_nvcc", lambda: None)
    monkeypatch.setattr(installation, "_unmet", lambda requirements: [])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OIL_STORAGE_DATA", raising=False)
    return answers


def test_working_installation_has_no_problems(
    outputs: dict[str, tuple[Any, str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    printed = capsys.readouterr().out
    for name in (
        "Python",
        "processor",
        "backend onnx",
        "backend torch",
        "GDAL, PROJ",
        "nvcc",
        "mmcv._ext",
        "disk",
        "data",
    ):
        assert f"\nok       {name}" in f"\n{printed}"
    assert printed.endswith("\n0 problems\n")


def test_each_problem_has_a_reason_and_a_command(
    outputs: dict[str, tuple[Any, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    outputs["mmcv._ext"] = (None, "ImportError: undefined symbol: _ZN3c10")
    outputs["rasterio"] = (None, "PROJ: proj.db not found")
    assert main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 problems"
    problems = [index for index, line in enumerate(lines) if line.startswith("problem")]
    assert "undefined symbol" in lines[problems[1]]
    assert lines[problems[1] + 1].split(maxsplit=1) == ["run", installation.REINSTALL]
    assert "proj.db" in lines[problems[0]]
    assert "--force-reinstall --no-deps 'rasterio~=" in lines[problems[0] + 1]


def test_real_imports_report_version_failure_and_crash() -> None:
    assert installation._output_of("import json; print('noise'); print(json.dumps([1]))") == ([1], "")
    found, reason = installation._output_of("import no_such_module")
    assert (found, reason) == (None, "ModuleNotFoundError: No module named 'no_such_module'")
    assert "signal 11" in installation._output_of("import os; os.kill(os.getpid(), 11)")[1]


def test_real_packages_find_their_gdal_and_proj_data() -> None:
    (check,) = installation.gdal()
    assert check.remedy == ""
    assert "PROJ" in check.found


@pytest.mark.parametrize(
    ("driver", "torch", "mmcv", "nvcc", "name", "words"),
    [
        (GPU, ["2.13.0+cpu", None, False], "not available", None, "GPU", "rm -rf .venv && make install"),
        (GPU, ["2.13.0", "13.0", False], "13.0", None, "GPU", "newer driver"),
        (("", "driver mismatch"), ["2.13.0", "13.0", False], "13.0", None, "GPU", "nvidia-smi"),
        (GPU, ["2.13.0", "13.0", True], "not available", None, "mmcv._ext", "first install CUDA 13.0"),
        (GPU, ["2.13.0", "13.0", True], "not available", "12.6", "mmcv._ext", "first install CUDA 13.0"),
        (GPU, ["2.13.0", "13.0", True], "not available", "13.2", "mmcv._ext", installation.REINSTALL),
        (GPU, ["2.13.0", "13.0", True], "13.0", None, None, ""),
        (NO_GPU, ["2.13.0", "13.0", False], "13.0", None, None, ""),
    ],
)
def test_gpu_torch_and_operators_must_fit(
    outputs: dict[str, tuple[Any, str]],
    monkeypatch: pytest.MonkeyPatch,
    driver: tuple[str, str],
    torch: list[Any],
    mmcv: str,
    nvcc: str | None,
    name: str | None,
    words: str,
) -> None:
    monkeypatch.setattr(installation, "_nvidia_driver", lambda: driver)
    monkeypatch.setattr(installation, "_nvcc", lambda: nvcc)
    outputs["torch"], outputs["mmcv._ext"] = (torch, ""), (["2.3.6", mmcv], "")
    problems = {check.name: check.remedy for check in installation.training_stack() if check.remedy}
    assert list(problems) == ([] if name is None else [name])
    assert words in problems.get(name or "", "")


def test_hidden_gpu_is_no_problem(outputs: dict[str, tuple[Any, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_nvidia_driver", lambda: GPU)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not any(check.remedy for check in installation.training_stack())


def test_versions_are_compared_with_setup_cfg(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = installation._version
    versions = {"scipy": None, "rasterio": "1.3.0"}
    monkeypatch.setattr(installation, "_version", lambda name: versions[name] if name in versions else installed(name))
    (check,) = installation.packages()
    assert "rasterio 1.3.0 (needs ~=1.4.4), " in check.found or ", rasterio 1.3.0 (needs ~=1.4.4)" in check.found
    assert "scipy missing" in check.found
    assert check.remedy.startswith(f"{sys.executable} -m pip install ")
    assert {"'rasterio~=1.4.4'", "'scipy~=1.17.1'"} == set(check.remedy.split()[4:])


def test_wheel_states_its_requirements_in_its_metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = ["numpy~=2.2.6", 'torch>=2.11; extra == "train"', 'ruff==0.1; extra == "dev"']
    monkeypatch.setattr(installation.shipped, "ROOT", tmp_path)
    monkeypatch.setattr(installation.metadata, "requires", lambda name: lines)
    assert [one.name for one in installation._requirements("")] == ["numpy"]
    assert [one.name for one in installation._requirements("train")] == ["torch"]


def test_absent_training_stack_is_no_problem_but_half_of_one_is(
    outputs: dict[str, tuple[Any, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def remedies(name: str) -> dict[str, str]:
        monkeypatch.setattr(installation, "_unmet", lambda required: [one for one in required if one.name == name])
        return {check.name: check.remedy for check in installation.training_stack() if check.remedy}

    monkeypatch.setattr(installation, "_version", lambda name: None)
    assert remedies("torch") == {}
    assert remedies("onedl-mmdetection") == {"mm packages": installation.REINSTALL}


def test_broken_check_does_not_hide_the_others(
    outputs: dict[str, tuple[Any, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(requirements: Any) -> list[Any]:
        raise RuntimeError("metadata are damaged")

    monkeypatch.setattr(installation, "_unmet", broken)
    found = checks(check_installation)
    assert "metadata are damaged" in found["packages"].found
    assert found["packages"].remedy
    assert found["disk"].remedy == ""


def test_full_disk_and_small_shared_memory_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: usage(2**26, 0, 2**26))
    found = checks(installation.storage)
    assert found["disk"].remedy
    assert "--shm-size=1g" in found["shared memory"].remedy


def test_nvcc_is_found_in_cuda_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvcc"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.8, V12.8.61'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert installation._nvcc() == "12.8"


def write_manifest(folder: Path) -> None:
    tiles = TileCounts(tiles=1, boxes=1, densest=1)
    folder.mkdir()
    Manifest(
        source=Source(
            path=Path("/raw/airbus"), annotations_sha256="0", seed=0, choices=Choices(), images_sha256={"a": "0"}
        ),
        split={"train": ["a"], "val": [], "test": []},
        counts={name: SceneCounts(scenes=name == "train", boxes=1) for name in ("train", "val", "test")},
        tiles={
            "640_64": TileSet(tile=640, overlap=64, min_visible=0, keep_empty=0, train=tiles, val=tiles, test=tiles)
        },
    ).save(folder)


def test_prepared_data_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "prepared"
    monkeypatch.setenv("OIL_STORAGE_DATA", str(folder))
    (check,) = installation.data()
    assert check.remedy == f"oil-storage prepare SOURCE {folder}"
    write_manifest(folder)
    (check,) = installation.data()
    assert "missing: 640_64" in check.found
    assert check.remedy == f"oil-storage prepare /raw/airbus {folder}"
    (folder / "tiles" / "640_64").mkdir(parents=True)
    (check,) = installation.data()
    assert (check.found, check.remedy) == (f"{folder}: 1 scenes of airbus, tiles 640_64", "")
    (folder / "manifest.json").write_text("{}")
    (check,) = installation.data()
    assert "not a valid manifest" in check.found
    assert check.remedy


def test_unprepared_default_folder_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OIL_STORAGE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (check,) = installation.data()
    assert check.remedy == ""


@pytest.mark.parametrize(
    ("version", "is_problem"), [((3, 10), True), ((3, 11), False), ((3, 13), False), ((3, 14), True)]
)
def test_python_must_be_supported(version: tuple[int, int], is_problem: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation.sys, "version_info", (*version, 0))
    (check,) = installation.python()
    assert bool(check.remedy) == is_problem


def test_processor_is_described() -> None:
    (check,) = installation.processor()
    assert f"of {os.cpu_count()} cores" in check.found
    assert check.found.rpartition(" ")[2] in ("bfloat16", "float32")
