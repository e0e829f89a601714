import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from oil_storage.cli.train import main
from tests.cli.stopped_tools import wait_for_iterations
from tests.tiny_training import WITH_WORKERS, losses, same_training, write_config


@HOOKS.register_module(force=True)
class SignalHook(Hook):
    """Hook that sends a signal to its process during an iteration of training or validation."""

    def __init__(self, number: int, iteration: int, stage: str) -> None:
        self.number, self.iteration, self.stage = number, iteration, stage

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if self.stage == "batch" and runner.iter == self.iteration:  # before the iteration starts
            os.kill(os.getpid(), self.number)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.stage == "train" and runner.iter == self.iteration:
            os.kill(os.getpid(), self.number)

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if self.stage == "val" and runner.iter == self.iteration and batch_idx == 0:
            os.kill(os.getpid(), self.number)


def stop_at(config: Path, number: int, iteration: int, stage: str) -> Path:
    """Write a copy of a config with a hook that sends a signal."""
    hook = {"type": "SignalHook", "number": int(number), "iteration": iteration, "stage": stage}
    path = config.with_stem(f"stopping_{config.stem}")
    path.write_text(f"{config.read_text()}\ndefault_hooks['signal'] = {hook}\n")
    return path


@pytest.mark.parametrize(
    ("number", "status", "iteration", "stage", "changes"),
    [
        pytest.param(signal.SIGINT, 130, 2, "train", {}, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, 5, "train", WITH_WORKERS, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, 3, "batch", WITH_WORKERS, marks=pytest.mark.slow),
        # before a scheduled validation
        pytest.param(signal.SIGTERM, 143, 3, "train", {}, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, 4, "val", {}, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, 8, "val", {}, marks=pytest.mark.slow),
    ],
)
def test_resumed_training_equals_an_uninterrupted_one(
    data: Path,
    whole: Path,
    tmp_path: Path,
    number: int,
    status: int,
    iteration: int,
    stage: str,
    changes: dict[str, Any],
) -> None:
    work = tmp_path / "work"
    config = write_config(tmp_path, data, **changes)
    before = signal.getsignal(number)
    stopping = stop_at(config, number, iteration, stage)
    assert main([str(stopping), "--work-dir", str(work)]) == status
    assert signal.getsignal(number) == before
    done = iteration if stage == "val" else iteration + 1
    assert max(losses(work)) == done
    assert torch.load(work / "interrupted.pth", weights_only=False)["meta"]["iter"] == done

    assert main([str(config), "--work-dir", str(work)]) == 2  # a new training would overwrite it
    assert main([str(config), "--work-dir", str(work), "--resume"]) == 0
    assert same_training(work, whole)
    assert not (work / "interrupted.pth").exists()
    assert Path((work / "last_checkpoint").read_text()) == work / "iter_8.pth"
    resumed = sorted(work.glob("*/vis_data/scalars.json"))[-1].read_text()
    assert resumed.count('coco/bbox_mAP"') == (2 if done <= 4 else 1)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["group", "each process"])
def test_training_with_workers_handles_external_signals(data: Path, tmp_path: Path, to: str) -> None:
    config = write_config(tmp_path, data, **WITH_WORKERS, train_cfg__max_iters=10_000, train_cfg__val_interval=10_000)
    command = [sys.executable, "tools/train.py", str(config), "--work-dir", str(tmp_path / "work")]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file, env=environment, start_new_session=True)
    wait_for_iterations(process, log)
    if to == "group":  # as torchrun and terminals do
        os.killpg(process.pid, signal.SIGTERM)
    else:  # as pkill does
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert workers
        for pid in (process.pid, *map(int, workers)):
            os.kill(pid, signal.SIGTERM)
    process.wait(timeout=120)
    errors = log.read_text()
    assert process.returncode == 143, errors
    assert errors.strip().splitlines()[-1].startswith("warning: SIGTERM: stopped after iteration "), errors
    assert "Traceback" not in errors
    assert (tmp_path / "work" / "interrupted.pth").is_file()


@pytest.mark.slow
def test_training_resumes_in_the_middle_of_an_epoch(data: Path, tmp_path: Path) -> None:
    changes = {
        "train_cfg": {"_delete_": True, "type": "EpochBasedTrainLoop", "max_epochs": 2, "val_interval": 1},
        "train_dataloader__sampler__infinite": False,
    }
    config = write_config(tmp_path, data, **changes)
    assert main([str(config), "--work-dir", str(tmp_path / "whole")]) == 0
    expected = losses(tmp_path / "whole")
    middle = len(expected) // 4
    stopping = stop_at(config, signal.SIGTERM, middle, "train")
    assert main([str(stopping), "--work-dir", str(tmp_path / "work")]) == 143
    assert main([str(config), "--work-dir", str(tmp_path / "work"), "--resume"]) == 0
    assert losses(tmp_path / "work") == expected
    assert (tmp_path / "work" / "epoch_2.pth").is_file()
