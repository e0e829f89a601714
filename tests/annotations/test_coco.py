import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, ImageRecord, Record, formats
from oil_storage.errors import UserError
from oil_storage.findings import Severity


def read(source: Path) -> Annotations:
    return formats.read(source, "coco")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10)).save(path)


def content(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 20, "height": 10}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3.5, 4]}],
        "categories": [{"id": 3, "name": "tank"}],
        **changes,
    }


def write(path: Path, entries: dict[str, Any] | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_read_returns_entries_with_their_location(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    file = write(tmp_path / "x.json", content())
    assert formats.detect(tmp_path) == "coco"
    annotations = read(tmp_path)
    assert annotations.images == [ImageRecord("a.jpg", tmp_path / "a.jpg", (20, 10), f"{file}: images[0]")]
    assert annotations.records == [Record("a.jpg", "tank", (1, 2, 4.5, 6), f"{file}: annotations[0]")]
    assert (annotations.files, annotations.findings) == ([file], [])


@pytest.mark.parametrize(
    ("json_name", "image", "file_name"),
    [
        ("annotations/instances_train2017.json", "train2017/a.jpg", "a.jpg"),
        ("annotations/instances_train2017.json", "images/train2017/a.jpg", "a.jpg"),
        ("annotations/all.json", "images/a.jpg", "a.jpg"),
        ("all.json", "images/part/a.jpg", "a.jpg"),
        ("all.json", "images/a.jpg", "images/a.jpg"),
        ("all.json", "images/a.jpg", "/home/me/label/a.jpg"),
        ("all.json", "images/a.jpg", "C:\\label\\a.jpg"),
        ("valid/_annotations.coco.json", "valid/a.jpg", "a.jpg"),
    ],
)
def test_read_finds_images_in_common_layouts(tmp_path: Path, json_name: str, image: str, file_name: str) -> None:
    picture(tmp_path / image)
    write(tmp_path / json_name, content(images=[{"id": 7, "file_name": file_name}]))
    (image_record,) = read(tmp_path).images
    assert image_record.path == tmp_path / image
    assert image_record.size is None


def test_each_split_has_its_own_image_of_the_same_name(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        picture(tmp_path / split / "a.jpg")
        write(tmp_path / "annotations" / f"instances_{split}.json", content())
    annotations = read(tmp_path)
    assert [image.path for image in annotations.images] == [tmp_path / "train2017/a.jpg", tmp_path / "val2017/a.jpg"]
    assert [record.image for record in annotations.records] == [image.name for image in annotations.images]
    assert len({image.name for image in annotations.images}) == 2


def test_missing_image_has_no_path(tmp_path: Path) -> None:
    boxes = [{"image_id": 8, "category_id": 9, "bbox": [1, 2, 3, 4]}] * 2
    file = write(tmp_path / "x.json", content(annotations=boxes))
    annotations = read(tmp_path)
    assert [(image.name, image.path) for image in annotations.images] == [("a.jpg", None), ("image_id 8", None)]
    assert annotations.images[1].place == f"{file}: annotations[0]"
    assert [(record.image, record.class_name) for record in annotations.records] == [("image_id 8", "9")] * 2


def test_duplicate_ids_are_errors(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": name} for name in ("a.jpg", "b.jpg")]
    boxes = [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}] * 2
    file = write(tmp_path / "x.json", content(images=images, annotations=boxes))
    annotations = read(tmp_path)
    assert [(f.severity, f.check, f.place, f.action) for f in annotations.findings] == [
        (Severity.ERROR, "duplicate-id", f"{file}: images[1]", "left out"),
        (Severity.ERROR, "duplicate-id", f"{file}: annotations[1]", "kept"),
    ]
    assert [image.name for image in annotations.images] == ["a.jpg"]
    assert len(annotations.records) == 2


def test_crowds_outlines_rotations_and_unlisted_images_are_reported(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture(tmp_path / "images" / name)
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}
    boxes = [
        box | {"iscrowd": 1},
        box | {"iscrowd": 0, "segmentation": [[1, 2, 3, 4, 5, 6]]},
        box | {"segmentation": {"counts": "x", "size": [10, 20]}, "attributes": {"rotation": 30.0}},
        box | {"segmentation": [], "attributes": {"rotation": 0.0}},
    ]
    write(tmp_path / "x.json", content(annotations=boxes))
    annotations = read(tmp_path)
    assert [record.place[-14:] for record in annotations.records] == [
        "annotations[1]",
        "annotations[2]",
        "annotations[3]",
    ]
    assert {
        (f.check, f.place.removeprefix(f"{tmp_path}/"), f.problem.split(";")[-1]) for f in annotations.findings
    } == {
        ("crowd", "x.json: annotations[0]", "box (1.0, 2.0, 4.0, 6.0) contains a crowd (iscrowd), not a single object"),
        ("outline", "x.json: annotations[1]", " 1 more"),
        ("turned-box", "x.json: annotations[2]", "box is rotated by 30 degrees"),
        ("unlisted-image", "images/b.jpg", " 1 more"),
    }
    assert {finding.severity for finding in annotations.findings} == {Severity.WARNING}


def test_non_finite_numbers_are_kept_for_the_audit(tmp_path: Path) -> None:
    text = json.dumps(content()).replace("[1, 2, 3.5, 4]", "[NaN, 2, -3, Infinity]")
    write(tmp_path / "x.json", text)
    (record,) = read(tmp_path).records
    assert math.isnan(record.box[0])
    assert record.box[3] == math.inf


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (json.dumps(content(), indent=1)[:120], r"x\.json:\d+: not JSON"),
        (
            content(images={"id": 7}) | {"categories": [{"id": 1, "name": "x"}]},
            r"json: images: .* valid list, not {",
        ),
        (content(images=[7]), r"images\[0\]: Input should be a dictionary .*, not 7"),
        (content(images=[{"id": 7}]), r"images\[0\]\.file_name: Field required"),
        (content(images=[{"file_name": "a.jpg"}]), r"images\[0\]\.id: Field required"),
        (
            content(images=[{"id": 7, "file_name": "a", "width": "20", "height": 10}]),
            r"images\[0\]\.width: .* not '20'",
        ),
        (content(images=[{"id": 7, "file_name": "a", "width": 20.5, "height": 10}]), r"width: .* not 20\.5"),
        (content(annotations=[{"image_id": 7, "category_id": 3}]), r"annotations\[0\]\.bbox: Field required"),
        (
            content(annotations=[{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4, 0.5]}]),
            "bbox: .* at most 4 items",
        ),
        (
            content(annotations=[{"image_id": 7, "category_id": 3, "bbox": [1, 2, "3", 4]}]),
            r"s\[0\]\.bbox\[2\]: .* not '3'",
        ),
        (content(annotations=[{"image_id": 7, "category_id": 3, "bbox": [1, 2, True, 4]}]), "not True"),
        (content(annotations=[{"image_id": 7, "category_id": 3, "bbox": [1, 2, 10**400, 4]}]), "bbox"),
        (
            content(annotations=[{"image_id": [7], "category_id": 3, "bbox": [1, 2, 3, 4]}]),
            r"s\[0\]\.image_id: .* not ",
        ),
        (content(annotations=[{"image_id": 7, "bbox": [1, 2, 3, 4]}]), "no category_id"),
        (content(categories=[{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]), "'a' and 'b' have the same id 3"),
        (content(categories=[{"id": 3}]), r"categories\[0\]\.name: Field required"),
    ],
)
def test_unreadable_entry_is_reported(tmp_path: Path, entries: dict[str, Any] | str, words: str) -> None:
    write(tmp_path / "x.json", entries)
    with pytest.raises(UserError, match=words) as error:
        read(tmp_path)
    assert "x.json" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_missing_coco_files_are_an_error(tmp_path: Path) -> None:
    write(tmp_path / "x.json", '{"features": []}')
    with pytest.raises(UserError, match="no coco annotations"):
        read(tmp_path)


def test_linked_images_belong_to_the_folder_of_the_link(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "elsewhere" / name)
    (tmp_path / "source" / "images").mkdir(parents=True)
    (tmp_path / "source" / "images" / "a.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    write(tmp_path / "source" / "x.json", content())
    assert read(tmp_path / "source").findings == []


def test_missing_annotations_list_gives_no_records(tmp_path: Path) -> None:
    write(tmp_path / "x.json", {"images": content()["images"]})
    assert [image.name for image in read(tmp_path).images] == ["a.jpg"]
    assert read(tmp_path).records == []
