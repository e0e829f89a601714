import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oil_storage.annotations.images import copy_images, image_files, image_size, images_by_stem, images_in, scene_name
from oil_storage.errors import UserError
from oil_storage.scene import Scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.PNG", "a.v2.jpg"):
        Image.new("RGB", (20, 10)).save(tmp_path / name)
    for name in (".a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_images_are_sorted_and_others_passed_over(folder: Path) -> None:
    assert image_files(folder) == images_in(folder) == [folder / "a.v2.jpg", folder / "b.PNG"]
    assert images_by_stem(folder) == {"a.v2": folder / "a.v2.jpg", "b": folder / "b.PNG"}
    assert images_in(folder / "nowhere") == []


def test_no_folder_no_image_and_equal_names_are_errors(folder: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        image_files(folder / "nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no image in it"):
        image_files(folder / "empty")
    (folder / "b.tif").touch()
    with pytest.raises(UserError, match=r"b\.tif: has the same name as b\.PNG"):
        image_files(folder)


@pytest.mark.parametrize(
    ("file_name", "name"), [("a.jpg", "a"), ("a.v2.TIF", "a.v2"), ("a.v2", "a.v2"), ("x/a.png", "a")]
)
def test_a_scene_is_called_like_its_image_without_the_suffix(file_name: str, name: str) -> None:
    assert scene_name(file_name) == name


def test_the_size_of_what_is_no_image_is_none(folder: Path) -> None:
    assert image_size(folder / "b.PNG") == (20, 10)
    assert image_size(folder / "notes.txt") is None


def test_a_tiff_s_world_file_travels_with_it(folder: Path) -> None:
    for name in ("c.tif", "c.tfw", "c.tif.aux.xml", "c.txt"):
        (folder / name).write_text(name)
    scenes = [Scene("c", folder / "c.tif", 1, 1, np.empty((0, 4), np.float32))]
    copy_images(scenes, folder / "out" / "images")
    assert {file.name for file in (folder / "out/images").iterdir()} == {"c.tif", "c.tfw", "c.tif.aux.xml"}
    assert (folder / "out/images/c.tfw").read_text() == "c.tfw"


def test_a_name_that_no_annotation_can_hold_is_refused(folder: Path) -> None:
    (folder / "dépôt\u2028.jpg").touch()
    assert len(images_in(folder)) == 3
    Path(os.fsdecode(os.fsencode(folder) + b"/d\xe9pot.jpg")).touch()
    with pytest.raises(UserError, match=r"'d\\udce9pot.jpg' is not UTF-8"):
        images_in(folder)
