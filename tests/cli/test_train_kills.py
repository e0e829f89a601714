"""Training that is killed at any moment and resumed equals an uninterrupted one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_training import write_config, write_data

KILLS = 22
SAME = ("checkpoints", "others", "validations")


@pytest.mark.slow
def test_killed_and_resumed_trainings_equal_an_uninterrupted_one(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        write_data(tmp_path),
        val_evaluator={"type": "MeanScoreMetric"},
        default_hooks={"logger": {"interval": 1}, "checkpoint": {"save_best": "mean/score"}, "pictures": None},
        train_cfg__val_interval=2,
    )
    command = [sys.executable, "-m", "tests.killed_training", str(config), str(tmp_path / "runs"), str(KILLS)]
    (tmp_path / "runs").mkdir()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole, *killed = map(json.loads, done.stdout.splitlines())
    assert whole["status"] == 0
    assert list(whole["validations"]) == ["2", "4", "6", "8"]
    assert [name for name in whole["checkpoints"] if name.startswith("best")] == ["best_mean_score_iter_8.pth"]
    assert len(killed) == KILLS
    assert sum(any(name.startswith("iter_") for name in run["had"]) for run in killed) >= 10
    for run in killed:
        assert run["killed"] == -9, run["at"]
        assert (run["resumed"], run["again"], run["complete"]) == (0, 0, True), run["at"]
        assert {key: run[key] for key in SAME} == {key: whole[key] for key in SAME}, run["at"]
