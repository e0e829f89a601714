import math
from pathlib import Path

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, ImageRecord, Record, formats
from oil_storage.errors import UserError

BOX = "<bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"


def read(source: Path) -> Annotations:
    return formats.read(source, "voc")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10)).save(path)
    return path


def write(path: Path, *objects: str, filename: str = "a.jpg", size: tuple[object, object] | None = (20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    items = "".join(f"<object>{item}</object>\n" for item in objects)
    path.write_text(f"<annotation>\n<filename>{filename}</filename>{stated}\n{items}</annotation>")
    return path


def test_read_returns_objects_with_their_location(tmp_path: Path) -> None:
    image = picture(tmp_path / "JPEGImages/a.jpg")
    file = write(tmp_path / "Annotations/a.xml", f"<name> tank </name>{BOX}", f"<name>ship</name>{BOX}")
    assert formats.detect(tmp_path) == "voc"
    annotations = read(tmp_path)
    assert annotations.images == [ImageRecord("a.jpg", image, (20, 10), str(file))]
    assert annotations.records == [
        Record("a.jpg", "tank", (1, 2.5, 9, 8), f"{file}: object 1"),
        Record("a.jpg", "ship", (1, 2.5, 9, 8), f"{file}: object 2"),
    ]
    assert (annotations.files, annotations.findings) == ([file], [])


@pytest.mark.parametrize(
    ("xml", "image", "filename"),
    [
        ("Annotations/a.xml", "JPEGImages/a.png", "a.png"),
        ("annotations/a.xml", "images/a.jpg", ""),
        ("a.xml", "a.jpg", "a.jpg"),
        ("train/a.xml", "train/a.jpg", "a.jpg"),
        ("Annotations/a.xml", "a.jpg", "a.jpg"),
        ("Annotations/0001.xml", "JPEGImages/a.v2.jpg", "a.v2.jpg"),
        ("Annotations/a.v2.xml", "JPEGImages/a.v2.jpg", "a.v2"),
        ("Annotations/a.xml", "JPEGImages-test/a.jpg", "a.jpg"),
        ("Annotations/Horizontal Bounding Boxes/a.xml", "JPEGImages-trainval/a.jpg", "a.jpg"),
    ],
)
def test_read_finds_images_in_common_layouts(tmp_path: Path, xml: str, image: str, filename: str) -> None:
    path = picture(tmp_path / image)
    write(tmp_path / xml, filename=filename)
    annotations = read(tmp_path)
    assert [image.path for image in annotations.images] == [path]
    assert annotations.findings == []


def test_image_with_the_xml_name_takes_precedence_with_a_warning(tmp_path: Path) -> None:
    image = picture(tmp_path / "JPEGImages/a.jpg")
    picture(tmp_path / "JPEGImages/b.jpg")
    write(tmp_path / "Annotations/a.xml", filename="b.jpg")
    annotations = read(tmp_path)
    assert annotations.images[0].path == image
    assert [finding.check for finding in annotations.findings] == ["other-file-name"]


def test_read_returns_images_without_xml_and_xml_without_images(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/a.jpg")
    path = picture(tmp_path / "JPEGImages/b.jpg")
    write(tmp_path / "Annotations/a.xml")
    write(tmp_path / "Annotations/c.xml", f"<name>tank</name>{BOX}", filename="c.jpg")
    annotations = read(tmp_path)
    assert [(image.name, image.path and image.path.name) for image in annotations.images] == [
        ("a.jpg", "a.jpg"),
        ("c.jpg", None),
        ("b.jpg", "b.jpg"),
    ]
    assert annotations.images[2].place == str(path)
    assert annotations.records[0].image == "c.jpg"


def test_xml_files_with_the_same_name_keep_their_boxes_apart(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg")
        write(tmp_path / split / "a.xml", f"<name>{split}</name>{BOX}")
    annotations = read(tmp_path)
    names = {image.name: image.path.parent.name for image in annotations.images if image.path}
    assert {names[record.image]: record.class_name for record in annotations.records} == {
        "train": "train",
        "valid": "valid",
    }


@pytest.mark.parametrize(("size", "stated"), [(None, None), ((0, 0), None), ((0, 5), (0, 5)), ((7, 9), (7, 9))])
def test_size_of_zero_is_none(
    tmp_path: Path, size: tuple[object, object] | None, stated: tuple[int, int] | None
) -> None:
    write(tmp_path / "Annotations/a.xml", size=size)
    assert read(tmp_path).images[0].size == stated


def test_rotated_boxes_polygons_and_difficult_objects_are_reported(tmp_path: Path) -> None:
    turned = "<robndbox><cx>10</cx><cy>5</cy><w>8</w><h>2</h><angle>{}</angle></robndbox>"
    write(
        tmp_path / "Annotations/a.xml",
        f"<name>tank</name>{turned.format(math.pi / 2)}",
        f"<name>tank</name>{turned.format(math.pi / 4)}",
        f"<name>tank</name><difficult>1</difficult>{BOX}",
        f"<name>tank</name><difficult>0</difficult>{BOX}<polygon><x1>1</x1></polygon>",
    )
    annotations = read(tmp_path)
    assert annotations.records[0].box == pytest.approx((9, 1, 11, 9))
    half = 5 / math.sqrt(2)
    assert annotations.records[1].box == pytest.approx((10 - half, 5 - half, 10 + half, 5 + half))
    assert [(finding.check, finding.place[-8:]) for finding in annotations.findings] == [
        ("turned-box", "object 1"),
        ("difficult", "object 3"),
        ("outline", "object 4"),
    ]
    assert annotations.findings[0].problem.endswith("; 1 more")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation>\n<object>", r"a\.xml:2: invalid XML"),
        ("", r"a\.xml:1: invalid XML"),
        ("<other/>", "the root element is <other>"),
        ("<annotation><object></object></annotation>", "object 1: no name"),
        ("<annotation><object><name>t</name></object></annotation>", "object 1: no bndbox"),
        (
            "<annotation><object><name>t</name><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            "object 1: bndbox is .*'ymin': None",
        ),
        (
            f"<annotation><object><name>t</name>{BOX.replace('2.5', '2,5')}</object></annotation>",
            "object 1: bndbox is .*'ymin': '2,5'",
        ),
        ("<annotation><size><width>x</width><height>1</height></size></annotation>", "size is .'x', '1'."),
        ('<!DOCTYPE a [<!ENTITY e "e">]><annotation>&e;</annotation>', "unsupported XML"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "a.xml"),
    ],
)
def test_unreadable_xml_is_reported(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path / "Annotations/whole.xml")
    (tmp_path / "Annotations/a.xml").write_text(text)
    with pytest.raises(UserError, match=words) as error:
        read(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_missing_voc_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no voc annotations"):
        read(tmp_path)


def test_turned_boxes_of_dior_become_their_bounds(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    corners = {"left_top": (5, 1), "right_top": (9, 4), "right_bottom": (5, 7), "left_bottom": (1, 4)}
    edges = "".join(
        f"<{axis}_{name}>{value}</{axis}_{name}>"
        for name, at in corners.items()
        for axis, value in zip("xy", at, strict=True)
    )
    write(tmp_path / "a.xml", f"<name>storagetank</name><robndbox>{edges}<angle>-1</angle></robndbox>")
    annotations = read(tmp_path)
    assert [record.box for record in annotations.records] == [(1, 1, 9, 7)]
    assert [finding.check for finding in annotations.findings] == ["turned-box"]
