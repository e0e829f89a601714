import argparse
import json
from pathlib import Path
from statistics import mean, stdev

import pytest

from oil_storage.cli.crossval import main
from oil_storage.figures import TestRecord, metric_key
from oil_storage.preparation.prepare import prepare
from oil_storage.reporting.formatting import TILE_FIGURES
from tests.raw_data import write_raw_data
from tests.reporting.test_results import write_run
from tests.tiny_training import CONFIG, RUNTIME, losses

SHORT = ["--cfg-options", "train_cfg.max_iters=2", "train_cfg.val_interval=2"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a config with its prepared data in the same folder."""
    folder = tmp_path_factory.mktemp("crossval")
    prepare(write_raw_data(folder / "raw", scenes=6, size=128, tanks=6), folder / "prepared", tile=64, overlap=16)
    path = folder / "tiny.py"
    path.write_text(CONFIG.format(runtime=RUNTIME, data=folder / "prepared"))
    return path


def test_crossval_prepares_all_folds_and_averages_their_scores(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def scored(_: argparse.Namespace, prepared: Path, work_dir: Path) -> TestRecord:
        used.append(json.loads((prepared / "scenes" / "test.json").read_text())["images"][0]["file_name"])
        ap = 0.2 * (int(work_dir.name) + 1)
        write_run(work_dir, data_root=str(prepared), metrics=dict.fromkeys(map(metric_key, TILE_FIGURES.values()), ap))
        return TestRecord.load(work_dir / "val" / "metrics.json")

    monkeypatch.setattr("oil_storage.cli.crossval.train_and_test", scored)
    assert main([str(config), "--folds", "3", "--work-dir", str(tmp_path)]) == 0
    assert len(set(used)) == 3
    folds = json.loads((tmp_path / "crossval.json").read_text())["folds"]
    assert [fold["data_root"] for fold in folds] == [
        f"{config.parent / 'prepared_3_folds'}/{fold}" for fold in range(3)
    ]
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert [rows[name][1] for name in ("0", "1", "2", "mean", "sd")] == ["0.200", "0.400", "0.600", "0.400", "0.200"]


@pytest.mark.slow
def test_crossval_trains_and_tests_every_fold(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(config), "--folds", "3", "--work-dir", str(tmp_path), "--seed", "7", *SHORT]
    assert main(command) == 0
    folds = json.loads((tmp_path / "crossval.json").read_text())["folds"]
    expected = [str(config.parent / "prepared_3_folds" / str(fold)) for fold in range(3)]
    assert [record["data_root"] for record in folds] == expected
    assert {record["split"] for record in folds} == {"test"}
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    for column, values in (
        (-4, [entry["metrics"]["coco/bbox_AR"] for entry in folds]),
        (-1, [entry["scenes"]["f1"] for entry in folds]),  # at the threshold chosen on val
    ):
        printed = [float(rows[name][column]) for name in ("0", "1", "2", "mean", "sd")]
        assert printed == pytest.approx([*values, mean(values), stdev(values)], abs=5.1e-4)


@pytest.mark.slow
def test_resumed_crossval_trains_no_fold_twice(config: Path, tmp_path: Path) -> None:
    command = [str(config), "--folds", "3", "--work-dir", str(tmp_path), *SHORT]
    assert main(command) == 0
    folds = json.loads((tmp_path / "crossval.json").read_text())["folds"]
    trained = [losses(tmp_path / str(fold)) for fold in range(3)]
    assert [sorted(fold) for fold in trained] == [[1, 2]] * 3
    assert main([*command, "--resume"]) == 0
    assert [losses(tmp_path / str(fold)) for fold in range(3)] == trained
    again = json.loads((tmp_path / "crossval.json").read_text())["folds"]
    assert [fold["metrics"] for fold in again] == [fold["metrics"] for fold in folds]


def test_crossval_refuses_impossible_options(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, words in {
        (config, "--folds", "7"): "6 scenes are too few for 7 folds",
        (config, "--folds", "3", "--resume", "some.pth"): "each fold has its own checkpoint",
    }.items():
        capsys.readouterr()
        assert main([str(argument) for argument in argv] + ["--work-dir", str(tmp_path / "work")]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([str(config), "--folds", "2"])
    assert "argument --folds: '2': must be an integer of at least 3" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
