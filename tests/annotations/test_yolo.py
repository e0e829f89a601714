import math
from pathlib import Path

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, ImageRecord, Record, formats
from oil_storage.errors import UserError


def read(source: Path) -> Annotations:
    return formats.read(source, "yolo")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 100)).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_read_returns_boxes_in_pixels_with_their_location(tmp_path: Path) -> None:
    image = picture(tmp_path / "images/a.v2.jpg")
    file = write(tmp_path / "labels/a.v2.txt", "0 0.5 0.5 0.1 0.2\n\n1 0.25 0.25 -0.1 0.5\r\n")
    names = write(tmp_path / "data.yaml", "names: [tank, ship]\n")
    assert formats.detect(tmp_path) == "yolo"
    annotations = read(tmp_path)
    assert annotations.images == [ImageRecord("a.v2", image, None, str(file))]
    assert annotations.records == [
        Record("a.v2", "tank", (90, 40, 110, 60), f"{file}:1"),
        Record("a.v2", "ship", (60, 0, 40, 50), f"{file}:3"),
    ]
    assert (annotations.files, annotations.findings) == ([names, file], [])


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("a.jpg", "a.txt"),
    ],
)
def test_read_finds_images_in_common_layouts(tmp_path: Path, image: str, label: str) -> None:
    path = picture(tmp_path / image)
    write(tmp_path / label, "0 0.5 0.5 0.1 0.2\n")
    write(tmp_path / "classes.txt", "tank\n")
    annotations = read(tmp_path)
    assert [(image.path, image.name) for image in annotations.images] == [(path, "a")]
    assert [record.class_name for record in annotations.records] == ["tank"]


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("data.yaml", "names: {1: tank}", "tank"),
        ("data.yaml", "names: [ship]", "1"),
        ("oil.yml", "nc: 2\nnames:\n  - ship\n  - 2", "2"),
        ("hyp.yaml", "lr: 0.1", "1"),
        ("classes.txt", "ship\nÖltank\n", "Öltank"),
        ("labels/classes.txt", "ship\ntank\n", "tank"),
        ("obj.names", "ship\ntank\n", "tank"),
        ("readme.txt", "", "1"),
    ],
)
def test_class_name_is_its_number_if_no_file_names_it(tmp_path: Path, file: str, text: str, name: str) -> None:
    picture(tmp_path / "images/a.jpg")
    write(tmp_path / "labels/a.txt", "1 0.5 0.5 0.1 0.2")
    write(tmp_path / file, text)
    annotations = read(tmp_path)
    assert [record.class_name for record in annotations.records] == [name]
    assert [image.name for image in annotations.images] == ["a"]


def test_images_and_labels_may_be_missing(tmp_path: Path) -> None:
    picture(tmp_path / "images/no_label.jpg")
    (tmp_path / "images/broken.jpg").write_bytes(b"no image")
    for name in ("no_image", "broken", "empty"):
        write(tmp_path / f"labels/{name}.txt", "" if name == "empty" else "0 0.5 0.5 0.1 0.2")
    annotations = read(tmp_path)
    assert {image.name: image.path and image.path.name for image in annotations.images} == {
        "broken": "broken.jpg",
        "empty": None,
        "no_image": None,
        "no_label": "no_label.jpg",
    }
    assert {record.image for record in annotations.records} == {"broken", "no_image"}


def test_images_without_label_folder_are_left_out_and_reported(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.jpg")
    picture(tmp_path / "images/test/b.jpg")
    write(tmp_path / "labels/train/a.txt", "0 0.5 0.5 0.1 0.2")
    annotations = read(tmp_path)
    assert [image.name for image in annotations.images] == ["a"]
    assert [(finding.check, finding.place) for finding in annotations.findings] == [
        ("unlabelled-folder", str(tmp_path / "images/test"))
    ]


def test_images_with_the_same_name_keep_their_boxes_apart(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val")):
        picture(tmp_path / split / "images/a.jpg")
        write(tmp_path / split / "labels/a.txt", f"{number} 0.5 0.5 0.1 0.2")
    annotations = read(tmp_path)
    splits = {image.name: image.path.parts[-3] for image in annotations.images if image.path}
    assert {splits[record.image]: record.class_name for record in annotations.records} == {"train": "0", "val": "1"}


def test_outlines_become_bounding_boxes_and_are_reported_unless_upright(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    upright = "0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6"
    turned = "0 0.5 0.1 0.7 0.5 0.5 0.9 0.3 0.5"
    outline = "0 0.5 0.1 0.7 0.5 0.5 0.9"
    file = write(tmp_path / "labels/a.txt", "\n".join((upright, turned, outline)))
    annotations = read(tmp_path)
    assert [record.box for record in annotations.records] == [(20, 20, 60, 60), (60, 10, 140, 90), (100, 10, 140, 90)]
    (finding,) = annotations.findings
    assert finding.place == f"{file}:2"
    assert finding.problem == "outline of 4 points, not an axis-aligned box; 1 more"


def test_boxes_with_six_decimals_end_at_the_border(tmp_path: Path) -> None:
    Image.new("RGB", (2560, 2560)).save(picture(tmp_path / "images/a.png"))
    width = 37 / 2560
    write(tmp_path / "labels/a.txt", f"0 {1 - width / 2:.6f} 0.5 {width:.6f} 1.0")
    (record,) = read(tmp_path).records
    assert record.box == pytest.approx((2523, 0, 2560, 2560), abs=0.01)
    assert record.box[2] <= 2560


def test_non_finite_numbers_are_kept_for_the_audit(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    write(tmp_path / "labels/a.txt", "0 nan 0.5 0.1 inf")
    (record,) = read(tmp_path).records
    assert math.isnan(record.box[0])
    assert record.box[3] == math.inf


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.1", "4 values"),
        ("0 0.5 0.5 0.1 0.2 0.9", "6 values"),
        ("0 0.5 0.5 0.1 0.2 0.9 0.1 0.2", "8 values"),
        ("tank 0.5 0.5 0.1 0.2", "'tank'"),
        ("0 0.5 0,5 0.1 0.2", "'0,5'"),
        ("0.5 0.5 0.5 0.1 0.2", "class is 0.5"),
        ("-1 0.5 0.5 0.1 0.2", "class is -1"),
        ("nan 0.5 0.5 0.1 0.2", "class is nan"),
    ],
)
def test_malformed_box_is_reported_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    write(tmp_path / "labels/a.txt", f"0 0.5 0.5 0.1 0.2\n{line}\n")
    with pytest.raises(UserError, match=rf"labels/a\.txt:2: .*{words}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("data.yaml", b"a: b\nnames: [", "data.yaml:2: invalid YAML"),
        ("data.yaml", b"names: tank", "names is 'tank'"),
        ("classes.txt", b"\xff\xfe", "classes.txt: not UTF-8"),
        ("labels/a.txt", b"\xff\xfe", "a.txt: not UTF-8"),
    ],
)
def test_unreadable_label_file_is_reported(tmp_path: Path, file: str, text: bytes, words: str) -> None:
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 0.1 0.2")
    (tmp_path / file).write_bytes(text)
    with pytest.raises(UserError, match=words) as error:
        read(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_missing_labels_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no yolo annotations; expected labels/"):
        read(tmp_path)
