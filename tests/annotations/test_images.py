import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oil_storage.annotations.images import (
    copy_images,
    find_scenes,
    image_files,
    image_size,
    images_in,
    scene_name,
)
from oil_storage.errors import UserError
from oil_storage.scene import Scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.PNG", "a.v2.jpg"):
        Image.new("RGB", (20, 10)).save(tmp_path / name)
    for name in (".a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_images_in_returns_sorted_images_only(folder: Path) -> None:
    assert image_files(folder) == images_in(folder) == [folder / "a.v2.jpg", folder / "b.PNG"]
    assert images_in(folder / "nowhere") == []


def test_image_files_rejects_missing_images_and_equal_names(folder: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        image_files(folder / "nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no image in this folder"):
        image_files(folder / "empty")
    (folder / "b.tif").touch()
    with pytest.raises(UserError, match=r"b\.tif: same name as b\.PNG"):
        image_files(folder)


@pytest.mark.parametrize(
    ("file_name", "name"), [("a.jpg", "a"), ("a.v2.TIF", "a.v2"), ("a.v2", "a.v2"), ("x/a.png", "a")]
)
def test_scene_name_omits_the_image_suffix(file_name: str, name: str) -> None:
    assert scene_name(file_name) == name


def test_image_size_of_a_text_file_is_none(folder: Path) -> None:
    assert image_size(folder / "b.PNG") == (20, 10)
    assert image_size(folder / "notes.txt") is None


def test_copy_images_copies_world_files(folder: Path) -> None:
    for name in ("c.tif", "c.tfw", "c.tif.aux.xml", "c.txt"):
        (folder / name).write_text(name)
    scenes = [Scene("c", folder / "c.tif", 1, 1, np.empty((0, 4), np.float32))]
    copy_images(scenes, folder / "out" / "images")
    assert {file.name for file in (folder / "out/images").iterdir()} == {"c.tif", "c.tfw", "c.tif.aux.xml"}
    assert (folder / "out/images/c.tfw").read_text() == "c.tfw"


def test_vrt_is_not_copied_without_its_sources(folder: Path) -> None:
    scenes = [Scene("c", folder / "c.vrt", 1, 1, np.empty((0, 4), np.float32))]
    with pytest.raises(UserError, match=r"c\.vrt: a VRT has no pixels to copy; convert it: gdal_translate"):
        copy_images(scenes, folder / "out")
    assert not (folder / "out").exists()


def skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Return what a message names as not read."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="oil_storage"):
        find_scenes([str(folder)])
    return "\n".join(caplog.messages).removeprefix(f"{folder}: not read: ").partition(";")[0]


def test_files_and_subfolders_that_are_not_read_are_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert skipped(folder, caplog) == "1 .txt"
    (folder / "notes.txt").unlink()
    for name in ("c.jp2", "d.img", "e.vrt", "f.ntf"):
        (folder / name).touch()
    for name in ("b.pgw", "b.PNG.aux.xml", "b.PNG.ovr", "a.v2.jgw", "a.v2.prj", "d.ige", "f_RPC.TXT", "c.j2w"):
        (folder / name).touch()
    assert skipped(folder, caplog) == ""
    for name in ("g.ecw", "h.ECW", "i.sid", "raw"):
        (folder / name).touch()
    for name in ("north", "south", ".git"):
        (folder / name).mkdir()
    assert skipped(folder, caplog) == "2 .ecw, 1 .sid, 1 without suffix, 2 subfolders (north/, south/)"
    for number in range(9):
        (folder / f"part{number}").mkdir()
    assert skipped(folder, caplog).endswith("11 subfolders (north/, part0/, part1/, part2/, part3/, ...)")


def test_images_in_rejects_names_that_are_not_utf8(folder: Path) -> None:
    (folder / "dépôt\u2028.jpg").touch()
    assert len(images_in(folder)) == 3
    Path(os.fsdecode(os.fsencode(folder) + b"/d\xe9pot.jpg")).touch()
    with pytest.raises(UserError, match=r"'d\\udce9pot.jpg' is not UTF-8"):
        images_in(folder)
