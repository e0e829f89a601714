import signal
from pathlib import Path

import pytest

from oil_storage.cli.prepare_dataset import main
from tests.cli.stopped_tools import start_and_wait, stop_by
from tests.raw_data import write_raw_data

TOOL = Path(__file__).parents[2] / "tools" / "prepare_dataset.py"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw_data(tmp_path_factory.mktemp("raw") / "raw", scenes=4, size=128, tanks=2)


def test_new_and_existing_tile_sets_are_printed(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        (None, ["--tile", "2", "--overlap", "0"], "--tile 2"),
        (None, ["--overlap", "639"], "--overlap 639: must be 0 to 480"),
    ],
)
def test_bad_input_is_reported_in_one_line(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str | None, extra: list[str], words: str
) -> None:
    assert main([str(tmp_path / source if source else raw), str(tmp_path / "out"), *extra]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    "option", ["--gsd=-1", "--gsd=nan", "--source-gsd=0", "--min-side=nan", "--folds=2", "--seed=-1"]
)
def test_options_out_of_range_are_refused(raw: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(raw), str(tmp_path / "out"), option])


def test_resampling_and_repair_are_printed(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = [str(raw), str(out), "--tile", "64", "--overlap", "8", "--gsd", "1", "--source-gsd", "2"]
    assert main(arguments) == 0
    assert "4 scenes of 2 to 2 m per pixel are resampled to 1" in capsys.readouterr().err
    (out / "tiles" / "64_8" / "val.json").write_text("[]")
    assert main(arguments) == 0
    assert f"{out}/tiles/64_8/val.json: was missing or changed; written again" in capsys.readouterr().err


def test_empty_folder_name_is_refused(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(raw), ""])
    assert stop.value.code == 2
    assert "argument OUT: the name is empty" in capsys.readouterr().err


@pytest.fixture(scope="module")
def many_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return scenes that take seconds to cut into tiles."""
    return write_raw_data(tmp_path_factory.mktemp("many") / "raw", scenes=12, size=1024, tanks=8)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_leaves_no_tiles(many_tiles: Path, tmp_path: Path, number: signal.Signals, status: int) -> None:
    arguments = [many_tiles, tmp_path / "out", "--tile", "128", "--overlap", "96"]
    stop_by(start_and_wait([TOOL, *arguments], lambda: any((tmp_path / "out").rglob("*.jpg"))), number, status)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_repeatedly_killed_preparation_gives_the_same_files(tmp_path: Path) -> None:
    raw = write_raw_data(tmp_path / "raw", scenes=4, size=512, tanks=4)
    options = ["--tile", "64", "--overlap", "48", "--gsd", "1.5", "--source-gsd", "1.2"]
    assert main([str(raw), str(tmp_path / "undisturbed"), *options]) == 0
    out = tmp_path / "out"
    for moment in ("out", "**/*.jpg", "**/*.png", "**/SHA256SUMS"):  # inspection, train tiles, val tiles, checksums
        where = (tmp_path, moment) if moment == "out" else (out, moment)
        tool = start_and_wait([TOOL, raw, out, *options], lambda where=where: any(where[0].glob(where[1])), pause=0.002)
        tool.kill()
        tool.communicate()
    assert main([str(raw), str(out), *options]) == 0
    assert contents(out) == contents(tmp_path / "undisturbed")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
