import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oil_storage.cli.prepare_dataset import main
from tests.raw_data import write_raw_data

TOOL = Path(__file__).parents[2] / "tools" / "prepare_dataset.py"


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
        ("nowhere", [], "nowhere: no such folder"),
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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_no_tiles_behind(tmp_path: Path, number: signal.Signals, status: int) -> None:
    raw = write_raw_data(tmp_path / "raw", scenes=40, size=1024, tanks=8)
    arguments = [raw, tmp_path / "out", "--tile", "64", "--overlap", "32"]
    tool = subprocess.Popen([sys.executable, TOOL, *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any((tmp_path / "out").rglob("*.jpg")):
        assert tool.poll() is None, tool.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    tool.send_signal(number)
    errors = tool.communicate(timeout=60)[1]
    assert tool.returncode == status, errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "out" / "tiles").iterdir())
    assert not (tmp_path / "out" / "manifest.json").exists()
