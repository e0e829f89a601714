from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from oil_storage.annotations import Record
from oil_storage.errors import UserError
from oil_storage.preparation.audit import audit

CLASS = "oil-storage-tank"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        Image.new("RGB", (100, 80)).save(tmp_path / f"{name}.jpg")
    return tmp_path


def record(box: tuple[float, ...], image: str = "a", class_name: str = CLASS) -> Record:
    return Record(image, class_name, box, "f.csv:9")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "kept", "action"),
    [
        ((10, 20, 30, 40), [10, 20, 30, 40], None),
        ((10, 40, 30, 20), [10, 20, 30, 40], "put in order"),
        ((30, 40, 10, 20), [10, 20, 30, 40], "put in order"),
        ((-5, 70, 30, 95), [0, 70, 30, 80], "clipped"),
        ((10, 20, 30, 20), None, "dropped"),
        ((100, 20, 110, 30), None, "dropped"),
        ((10, -9, 30, 0), None, "dropped"),
        ((10, float("nan"), 30, 9), None, "dropped"),
        ((10, 20, float("inf"), 40), None, "dropped"),
        ((10, 20, 1e39, 40), None, "dropped"),  # infinite in float32
        ((50, 20, 50.000001, 40), None, "dropped"),  # without area in float32
    ],
)
def test_a_box_is_kept_repaired_or_dropped_and_that_is_said(
    images: Path, box: tuple[float, ...], kept: list[float] | None, action: str | None
) -> None:
    scenes, findings = audit([record(box), record((1, 1, 9, 9), "b")], images, CLASS)
    assert scenes[0].boxes.tolist() == ([] if kept is None else [kept])
    assert scenes[0].boxes.dtype == np.float32
    about_box = [finding for finding in findings if finding.place == "f.csv:9"]
    assert [finding.action for finding in about_box] == ([] if action is None else [action])


def test_a_box_written_twice_counts_once(images: Path) -> None:
    scenes, findings = audit([record((1, 2, 9, 9)), record((1, 2, 9, 9)), record((1, 2, 9, 9), "b")], images, CLASS)
    assert [len(scene.boxes) for scene in scenes] == [1, 1]
    assert [finding.action for finding in findings] == ["dropped"]


def test_an_image_without_boxes_is_a_scene(images: Path) -> None:
    scenes, findings = audit([record((1, 2, 9, 9))], images, CLASS)
    assert [(scene.scene_id, scene.width, scene.height) for scene in scenes] == [("a", 100, 80), ("b", 100, 80)]
    assert scenes[1].boxes.shape == (0, 4)
    assert "b.jpg: image without boxes" in str(findings[0])


def test_boxes_that_float32_cannot_tell_apart_count_once(images: Path) -> None:
    scenes, findings = audit([record((1, 2, 9, 9)), record((1, 2, 9, 9.0000001))], images, CLASS)
    assert len(scenes[0].boxes) == 1
    assert findings[0].action == "dropped"


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "images/a.jpg", "a"])
def test_an_image_may_be_named_with_its_folder_and_suffix(images: Path, name: str) -> None:
    assert len(audit([record((1, 2, 9, 9), name)], images, CLASS)[0][0].boxes) == 1


@pytest.mark.parametrize("name", ["a.v2", "a.1", "other/a.jpg", "/a.jpg", "A"])
def test_a_name_is_not_bent_until_it_fits(images: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"names the image {name!r}"):
        audit([record((1, 2, 9, 9), name)], images, CLASS)


def test_a_dot_in_a_scene_s_name_is_part_of_it(images: Path) -> None:
    Image.new("RGB", (50, 50)).save(images / "a.v2.jpg")
    scenes, _ = audit([record((1, 2, 9, 9), "a.v2"), record((2, 2, 9, 9), "a.v2.jpg")], images, CLASS)
    assert {scene.scene_id: len(scene.boxes) for scene in scenes} == {"a": 0, "a.v2": 2, "b": 0}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (record((1, 2, 9, 9), "c"), "f.csv:9: names the image 'c'"),
        (record((1, 2, 9, 9), class_name="ship"), "f.csv:9: class 'ship'"),
        (record((1, 2, 1, 9)), "no image has a usable box"),
    ],
)
def test_what_cannot_be_used_stops_with_its_place(images: Path, bad: Record, words: str) -> None:
    with pytest.raises(UserError, match=words):
        audit([bad], images, CLASS)


def test_bad_images_stop_with_their_name(images: Path, tmp_path: Path) -> None:
    (images / "c.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"c\.jpg: not an image"):
        audit([record((1, 2, 9, 9))], images, CLASS)
    (images / "c.jpg").rename(images / "a.png")
    with pytest.raises(UserError, match="same name"):
        audit([record((1, 2, 9, 9))], images, CLASS)
    with pytest.raises(UserError, match="no such folder"):
        audit([], tmp_path / "nowhere", CLASS)


def test_images_that_would_be_read_wrongly_are_refused(images: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (100, 80)).save(images / "c.jpg", exif=turned)
    with pytest.raises(UserError, match=r"c\.jpg: its EXIF orientation is 6"):
        audit([record((1, 2, 9, 9))], images, CLASS)
    (images / "c.jpg").unlink()
    cv2.imwrite(str(images / "c.tif"), np.zeros((80, 100, 3), np.uint16))
    with pytest.raises(UserError, match=r"c\.tif: has more than 8 bits"):
        audit([record((1, 2, 9, 9))], images, CLASS)


def test_the_real_defects_are_found(airbus: Path) -> None:
    from oil_storage.annotations.airbus import read

    scenes, findings = audit(read(airbus), airbus / "images", CLASS)
    assert len(scenes) == 78
    assert sorted(finding.action for finding in findings) == ["dropped", "put in order"]
