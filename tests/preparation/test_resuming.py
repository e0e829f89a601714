import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from oil_storage.preparation import tile_sets
from oil_storage.preparation.prepare import prepare
from tests.folder_contents import contents
from tests.partial_files import left_partial
from tests.raw_data import write_raw_data


@pytest.mark.slow
def test_repeated_run_after_an_interruption_writes_the_same_files(
    raw: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tile_sets, "in_processes", die)
        with pytest.raises(KeyboardInterrupt):
            prepare(raw, tmp_path / "out", tile=64, overlap=16)
    assert not (tmp_path / "out").exists()
    prepare(raw, tmp_path / "out", tile=64, overlap=16)
    assert contents(tmp_path / "out" / "tiles") == {
        name: data for name, data in contents(out / "tiles").items() if name.startswith("64_16")
    }


def test_missing_tile_set_is_written_again(raw: Path, out: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out"
    shutil.copytree(out, mine)
    before = contents(mine)
    shutil.rmtree(mine / "tiles" / "64_16")
    assert prepare(raw, mine, tile=64, overlap=16).is_new
    assert contents(mine) == before
    again = prepare(raw, mine, tile=64, overlap=16)
    assert not again.is_new
    assert again.mended == []


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("val/*.png", Path.unlink),
        ("train/*.jpg", cut_short),
        ("train/*.jpg", change_a_byte),
        ("val.json", lambda path: path.write_text("{")),
        ("SHA256SUMS", Path.unlink),
        ("SHA256SUMS", cut_short),
    ],
)
def test_damaged_tile_set_is_written_again_and_reported(
    raw: Path, out: Path, tmp_path: Path, pattern: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(out, tmp_path / "out")
    before = contents(tmp_path / "out")
    victim = min((tmp_path / "out" / "tiles" / "64_16").glob(pattern))
    damage(victim)
    again = prepare(raw, tmp_path / "out", tile=64, overlap=16)
    assert again.is_new
    assert again.mended == [str(victim.relative_to(tmp_path / "out"))]
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("damage", [Path.unlink, cut_short, change_a_byte])
def test_damaged_scenes_are_written_again_and_reported(
    raw: Path, out: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(out, tmp_path / "out")
    before = contents(tmp_path / "out")
    damage(tmp_path / "out" / "scenes" / "val.json")
    again = prepare(raw, tmp_path / "out", tile=64, overlap=16)
    assert not again.is_new
    assert again.mended == ["scenes/val.json"]
    shutil.rmtree(tmp_path / "out" / "scenes")
    assert len(prepare(raw, tmp_path / "out", tile=64, overlap=16).mended) == 3
    assert contents(tmp_path / "out") == before


def test_failed_call_keeps_the_existing_files(
    raw: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(out, tmp_path / "out")
    before = contents(tmp_path / "out")

    def die(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tile_sets, "in_processes", die)
    with pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "out", tile=96, overlap=16)
    assert contents(tmp_path / "out") == before


def test_partial_files_of_an_interrupted_run_are_removed(raw: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out")
    before = contents(tmp_path / "out")
    (left_partial(tmp_path / "out" / "tiles" / "96_0") / "train").mkdir(parents=True)
    for name in ("manifest.json", "scenes/val.json"):
        left_partial(tmp_path / "out" / name).touch()
    prepare(raw, tmp_path / "out", tile=64, overlap=16)
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in (tmp_path / "out" / "tiles").iterdir()) == sorted(
        path.name for path in (out / "tiles").iterdir()
    )


def test_file_names_may_contain_line_separators(tmp_path: Path) -> None:
    source = write_raw_data(tmp_path / "raw", scenes=4, size=128, tanks=2)
    for image in sorted((source / "images").iterdir()):
        image.rename(image.with_name(f"a\u2028{image.name}"))
    table = source / "annotations.csv"
    table.write_text(table.read_text().replace("scene_", "a\u2028scene_"), encoding="utf-8")
    prepare(source, tmp_path / "out", tile=64, overlap=16)
    assert prepare(source, tmp_path / "out", tile=64, overlap=16).mended == []
