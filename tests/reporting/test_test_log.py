import csv
from pathlib import Path
from typing import Any

import pytest

from oil_storage.reporting.test_log import LOG, log_test

REPORT: dict[str, Any] = {
    "data": {"name": "scenes", "sha256": "a" * 64},
    "checkpoint_sha256": "b" * 64,
    "trained": {"commit": "abc"},
    "tta": True,
    "changes": ["model.a was 1, would be 2", "tiles, too"],
    "metrics": {"coco/bbox_mAP": 0.51234, "coco/bbox_mAP_50": None},
    "scenes": {"f1": 0.87},
}


def test_each_test_of_a_config_of_the_repository_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Path("configs/oil/toy.py")
    log_test(config, REPORT)
    assert not LOG.exists()  # no repository of ours
    LOG.parent.mkdir()
    log_test(config, REPORT)
    log_test(config, REPORT | {"trained": None})
    first, second = csv.DictReader(LOG.open())
    assert (first["config"], first["data_sha256"], first["commit"], first["tta"]) == ("toy", "a" * 12, "abc", "true")
    assert (first["ap"], first["ap50"], first["scene_f1"]) == ("0.5123", "", "0.8700")
    assert first["changes"] == "model.a was 1, would be 2; tiles, too"
    assert first["date"] <= second["date"]
    assert second["commit"] == ""


def test_a_log_that_cannot_be_written_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    LOG.mkdir(parents=True)
    log_test(Path("configs/oil/toy.py"), REPORT)
    assert "warning: this test is not in results/test_log.csv" in capsys.readouterr().out


def test_configs_of_others_are_not_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LOG.parent.mkdir()
    log_test(tmp_path / "elsewhere.py", REPORT)
    assert not LOG.exists()
