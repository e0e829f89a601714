from pathlib import Path

import pytest

from oil_storage.cli.prepare_dataset import main
from tests.raw_data import write_raw_data


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw_data(tmp_path_factory.mktemp("raw") / "raw", scenes=4, size=128, tanks=2)


def test_it_says_what_it_wrote_and_what_is_there_already(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(raw), str(tmp_path / "out"), "--tile", "64", "--overlap", "8"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "train" in printed
    assert f"wrote {tmp_path / 'out' / 'tiles' / '64_8'}" in printed
    assert main(arguments) == 0
    assert "already there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "extra", "words"),
    [
        ("nowhere", [], "annotations.csv: no such file"),
        (None, ["--overlap", "640"], "--overlap 640"),
        (None, ["--tile", "0", "--overlap", "0"], "--tile 0"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str | None, extra: list[str], words: str
) -> None:
    assert main([str(tmp_path / source if source else raw), str(tmp_path / "out"), *extra]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / "manifest.json").exists()
