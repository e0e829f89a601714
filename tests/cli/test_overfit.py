import json
import shutil
import signal
from pathlib import Path

import pytest
from mmengine.config import Config

from oil_storage.cli.overfit import main
from oil_storage.engine.interruption import TrainingInterrupted
from oil_storage.engine.overfitting import LEARNT, overfitting
from oil_storage.preparation.overfit_tiles import write_overfit_tiles
from tests.tiny_training import write_config, write_data

CONFIGS = sorted(Path("configs/oil").glob("*.py"))


def interrupt(*_: object, **__: object) -> None:
    """Raise the exception of a training run that SIGINT stops."""
    raise TrainingInterrupted(signal.SIGINT, 1, Path("interrupted.pth"))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the prepared tiles in ``data``."""
    folder = tmp_path_factory.mktemp("tiles")
    write_overfit_tiles(folder / "data")
    return folder


@pytest.fixture
def work(tiles: Path, tmp_path: Path) -> Path:
    """Return a work dir that contains the tiles."""
    shutil.copytree(tiles, tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.slow
def test_config_without_enough_time_is_reported_as_not_learnt(
    tmp_path: Path, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oil_storage.engine.overfitting.VALIDATED", 2)
    config = write_config(tmp_path, write_data(tmp_path))
    argv = [str(config), "--minutes", "1e-6", "--work-dir", str(work), "--record", str(tmp_path / "results")]
    assert main(argv) == 1
    message = capsys.readouterr().out
    assert f"{config.stem}: AP50 0.0" in message
    assert "in 2 iterations: has not learnt; needs at least 0.9" in message
    learns = json.loads((tmp_path / "results" / f"{config.stem}.json").read_text())["learns"]
    assert (learns["iterations"], learns["wanted"]) == (2, 0.9)
    # finished configs are skipped on re-runs
    before = (work / config.stem / LEARNT).stat().st_mtime_ns
    assert main(argv) == 1
    assert (work / config.stem / LEARNT).stat().st_mtime_ns == before


@pytest.mark.slow
def test_longer_time_limit_resumes_the_training(
    tmp_path: Path, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oil_storage.engine.overfitting.VALIDATED", 2)
    config = write_config(tmp_path, write_data(tmp_path))
    work /= config.stem
    assert main([str(config), "--minutes", "1e-6", "--work-dir", str(work.parent)]) == 1
    assert "no checkpoint to resume" not in capsys.readouterr().err
    a_little_more = json.loads((work / LEARNT).read_text())["seconds"] / 60 + 1e-3
    assert main([str(config), "--minutes", f"{a_little_more}", "--work-dir", str(work.parent)]) == 1
    assert f"resuming {work / 'iter_2.pth'}" in capsys.readouterr().err
    assert json.loads((work / LEARNT).read_text())["iterations"] == 4
    # a training run of another config is not resumed
    config.write_text(f"{config.read_text()}\nmodel['test_cfg']['score_thr'] = 0.2\n")
    monkeypatch.setattr("oil_storage.engine.overfitting.train", interrupt)
    assert main([str(config), "--minutes", "1e-6", "--work-dir", str(work.parent)]) == 130
    assert f"{work}: deleted, because the config has changed since this training run" in capsys.readouterr().err
    assert not work.exists()


def test_interrupted_training_can_be_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path)
    config = write_config(tmp_path, data)
    (tmp_path / "work").mkdir()
    monkeypatch.setattr("oil_storage.preparation.overfit_tiles.write_overfit_tiles", lambda _: data)
    monkeypatch.setattr("oil_storage.engine.overfitting.train", interrupt)
    assert main([str(config), "--work-dir", str(tmp_path / "work")]) == 130
    assert f"{config.stem}: stopped; run the same command again to continue" in capsys.readouterr().err


def test_overfitting_config_is_the_same_for_any_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = set()
    for root in ("one", "other"):
        monkeypatch.setenv("OIL_STORAGE_DATA", root)
        texts.add(overfitting(Config.fromfile(CONFIGS[0]), tmp_path, 0.9).pretty_text)
    assert len(texts) == 1


def test_unknown_config_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(CONFIGS[0]), "configs/oil/nonesuch.py", "--work-dir", str(tmp_path / "work")]) == 2
    assert "nonesuch.py: no such config" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_minutes_that_are_not_positive_are_refused(
    minutes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(CONFIGS[0]), "--minutes", minutes, "--work-dir", str(tmp_path / "work")]) == 2
    assert f"--minutes {minutes}: must be more than 0" in capsys.readouterr().err


@pytest.mark.slow
def test_rtmdet_learns(tmp_path: Path) -> None:
    # other configs take up to 15 minutes each: tools/overfit.py configs/oil/*.py
    assert main(["configs/oil/rtmdet_m.py", "--work-dir", str(tmp_path / "work")]) == 0
