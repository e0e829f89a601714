import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from oil_storage.engine.distributed import prepare
from oil_storage.errors import UserError
from oil_storage.preparation.prepare import prepare as prepare_data
from tests.cli.stopped_tools import wait_for_iterations
from tests.raw_data import write_raw_data
from tests.tiny_training import write_config, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def tool(*command: str, **more: str) -> dict[str, Any]:
    """Return arguments of :mod:`subprocess` that run a shell tool with this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": "", **more}
    return {"args": command, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def two_processes(data: Path, folder: Path, **changes: Any) -> Path:
    config = write_config(folder, data, **changes)
    config.write_text(
        config.read_text()
        + "\ncustom_imports['imports'].append('tests.rank_weights')"
        + "\ncustom_hooks.append(dict(type='RankWeightsHook'))\n"
    )
    return config


@pytest.mark.slow
def test_two_processes_train_one_model_on_different_samples(data: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    config = two_processes(data, tmp_path, train_cfg__max_iters=4)
    done = subprocess.run(**tool("tools/dist_train.sh", str(config), "2", "--work-dir", str(work)), check=False)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(work / f"rank_{rank}.pth", weights_only=False) for rank in range(2))
    assert all(torch.equal(first["weights"][key], second["weights"][key]) for key in first["weights"])
    assert len(first["images"]) == len(second["images"]) == 8
    assert first["images"] != second["images"]
    saved = torch.load(work / "iter_4.pth", weights_only=False)["ema_state_dict"]
    assert all(torch.equal(value, saved[f"module.{key}"]) for key, value in first["weights"].items())

    command = ["tools/dist_test.sh", str(config), str(work / "iter_4.pth"), "2", "--work-dir", str(work)]
    done = subprocess.run(**tool(*command), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test split: ") == 1
    assert (work / "test" / "metrics.json").is_file()


@pytest.mark.slow
def test_signal_stops_all_processes_after_the_same_iteration(data: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    config = two_processes(data, tmp_path, train_cfg__max_iters=10_000, train_cfg__val_interval=10_000)
    iterations = []
    for flags in ([], ["--resume"]):
        log = tmp_path / "log.txt"
        arguments = tool("tools/dist_train.sh", str(config), "2", "--work-dir", str(work), *flags)
        with log.open("w") as file:
            process = subprocess.Popen(**{**arguments, "stdout": file, "stderr": file})
        wait_for_iterations(process, log)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
        errors = log.read_text()
        assert process.returncode == 143, errors
        assert "Traceback" not in errors
        assert sum(line.startswith("warning: SIGTERM: stopped") for line in errors.splitlines()) == 1
        iterations.append(torch.load(work / "interrupted.pth", weights_only=False)["meta"]["iter"])
    assert iterations[1] > iterations[0]


@pytest.mark.slow
def test_launcher_passes_on_user_errors(tmp_path: Path) -> None:
    done = subprocess.run(**tool("tools/dist_train.sh", str(tmp_path / "absent.py"), "2"), check=False)
    assert done.returncode == 2
    assert done.stderr.count("absent.py: no such config") == 1
    assert len(done.stderr.splitlines()) == 1


def test_variables_of_slurm_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = Config({"model": {"type": "RetinaNet", "norm_cfg": {"type": "SyncBN"}}})
    for name, value in {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # makes monkeypatch restore it
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match="--launcher slurm: environment variable MASTER_ADDR is not set"):
        prepare(cfg, "slurm")
    assert (os.environ["RANK"], os.environ["WORLD_SIZE"], os.environ["LOCAL_RANK"]) == ("1", "2", "1")


@pytest.mark.slow
def test_cpu_config_trains_in_two_processes(tmp_path: Path) -> None:
    write_raw_data(tmp_path / "raw", scenes=3, size=640)
    prepare_data(tmp_path / "raw", tmp_path / "data", tile=640, overlap=64)
    options = ["train_cfg.max_iters=2", "train_cfg.val_interval=2", "train_dataloader.batch_size=1"]
    command = ["configs/oil/rtmdet_lite0.py", "2", "--work-dir", str(tmp_path / "work"), "--cfg-options", *options]
    environment = {"OIL_STORAGE_DATA": str(tmp_path / "data")}
    done = subprocess.run(**tool("tools/dist_train.sh", *command, **environment), check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "iter_1.pth").is_file()  # two processes need half of the iterations
