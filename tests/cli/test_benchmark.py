import json
from pathlib import Path

import pytest

from oil_storage.cli.benchmark import main
from tests.reporting.test_config_table import LEARNS
from tests.tiny_training import write_config, write_data


def test_costs_are_told_and_recorded_beside_what_else_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, write_data(tmp_path))
    known = tmp_path / f"{config.stem}.json"
    known.write_text(json.dumps({"config": config.stem, "learns": LEARNS}))
    assert main([str(config), "--seconds", "0", "--batch", "3", "--record", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{config.stem}: ")
    assert "64x64 px" in said
    assert "batches of 3" in said
    content = json.loads(known.read_text())
    assert content["learns"] == LEARNS
    assert content["speed"]["training"]["batch"] == 3


def test_config_that_cannot_be_built_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, write_data(tmp_path))
    (tmp_path / "broken.py").write_text(f"{config.read_text()}\nmodel['type'] = 'NoSuchDetector'\n")
    assert main([str(tmp_path / "broken.py"), "--record", str(tmp_path)]) == 2
    assert "broken.py: could not be measured" in capsys.readouterr().err
    assert not (tmp_path / "broken.json").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batch", "0"], "'0': must be an integer, 1 or more"),
        (["--batch", "-1"], "'-1': must be an integer, 1 or more"),
        (["--seconds", "nan"], "'nan': must be a number, 0 or more"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_before_anything_is_measured(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["configs/oil/ssd_lite0.py", *flags])
    assert words in capsys.readouterr().err


def test_a_folder_to_record_in_is_asked_for_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["configs/oil/ssd_lite0.py", "--record", str(tmp_path / "nowhere")]) == 2
    assert f"--record {tmp_path / 'nowhere'}: no such folder" in capsys.readouterr().err
