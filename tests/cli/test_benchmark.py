import json
from pathlib import Path

import pytest

from oil_storage.cli.benchmark import main
from tests.reporting.test_config_table import LEARNS
from tests.tiny_training import write_config, write_data


def test_costs_are_printed_and_added_to_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, write_data(tmp_path))
    record = tmp_path / f"{config.stem}.json"
    record.write_text(json.dumps({"config": config.stem, "learns": LEARNS}))
    assert main([str(config), "--seconds", "0", "--batch", "3", "--record", str(tmp_path)]) == 0
    message = capsys.readouterr().out
    assert message.startswith(f"{config.stem}: ")
    assert "64x64 px" in message
    assert "batches of 3" in message
    content = json.loads(record.read_text())
    assert content["learns"] == LEARNS
    assert content["speed"]["training"]["batch"] == 3


def test_scenes_without_weights_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs/oil/ssd_lite0.py", "--scenes", "a.png"]) == 2
    assert "--scenes: needs --weights and a single CONFIG" in capsys.readouterr().err


@pytest.mark.slow
def test_benchmark_names_a_config_that_cannot_be_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, write_data(tmp_path))
    (tmp_path / "broken.py").write_text(f"{config.read_text()}\nmodel['type'] = 'NoSuchDetector'\n")
    assert main([str(tmp_path / "broken.py"), "--record", str(tmp_path)]) == 2
    assert "broken.py: cannot be measured" in capsys.readouterr().err
    assert not (tmp_path / "broken.json").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batch", "0"], "'0': must be an integer of at least 1"),
        (["--batch", "-1"], "'-1': must be an integer of at least 1"),
        (["--seconds", "nan"], "'nan': must be a number of at least 0"),
    ],
)
def test_benchmark_refuses_invalid_arguments_before_it_measures(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["configs/oil/ssd_lite0.py", *flags])
    assert words in capsys.readouterr().err


def test_benchmark_refuses_a_missing_record_folder_before_it_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["configs/oil/ssd_lite0.py", "--record", str(tmp_path / "nowhere")]) == 2
    assert f"--record {tmp_path / 'nowhere'}: no such folder" in capsys.readouterr().err
