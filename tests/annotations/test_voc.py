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
    items = "".join(f"<object>{one}</object>\n" for one in objects)
    path.write_text(f"<annotation>\n<filename>{filename}</filename>{stated}\n{items}</annotation>")
    return path


def test_objects_are_read_as_written_with_their_place(tmp_path: Path) -> None:
    image = picture(tmp_path / "JPEGImages/a.jpg")
    file = write(tmp_path / "Annotations/a.xml", f"<name> tank </name>{BOX}", f"<name>ship</name>{BOX}")
    assert formats.detect(tmp_path) == "voc"
    found = read(tmp_path)
    assert found.images == [ImageRecord("a.jpg", image, (20, 10), str(file))]
    assert found.records == [
        Record("a.jpg", "tank", (1, 2.5, 9, 8), f"{file}: object 1"),
        Record("a.jpg", "ship", (1, 2.5, 9, 8), f"{file}: object 2"),
    ]
    assert (found.files, found.findings) == ([file], [])


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
    ],
)
def test_images_are_found_in_the_layouts_that_are_met(tmp_path: Path, xml: str, image: str, filename: str) -> None:
    path = picture(tmp_path / image)
    write(tmp_path / xml, filename=filename)
    found = read(tmp_path)
    assert [one.path for one in found.images] == [path]
    assert found.findings == []


def test_the_image_of_the_xml_s_name_is_taken_and_another_filename_said(tmp_path: Path) -> None:
    image = picture(tmp_path / "JPEGImages/a.jpg")
    picture(tmp_path / "JPEGImages/b.jpg")
    write(tmp_path / "Annotations/a.xml", filename="b.jpg")
    found = read(tmp_path)
    assert found.images[0].path == image
    assert [finding.check for finding in found.findings] == ["other-file-name"]


def test_an_image_without_xml_is_there_and_an_xml_without_image_too(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/a.jpg")
    path = picture(tmp_path / "JPEGImages/b.jpg")
    write(tmp_path / "Annotations/a.xml")
    write(tmp_path / "Annotations/c.xml", f"<name>tank</name>{BOX}", filename="c.jpg")
    found = read(tmp_path)
    assert [(one.name, one.path and one.path.name) for one in found.images] == [
        ("a.jpg", "a.jpg"),
        ("c.jpg", None),
        ("b.jpg", "b.jpg"),
    ]
    assert found.images[2].place == str(path)
    assert found.records[0].image == "c.jpg"


def test_two_xml_of_one_name_keep_their_boxes_apart(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg")
        write(tmp_path / split / "a.xml", f"<name>{split}</name>{BOX}")
    found = read(tmp_path)
    names = {image.name: image.path.parent.name for image in found.images if image.path}
    assert {names[record.image]: record.class_name for record in found.records} == {"train": "train", "valid": "valid"}


@pytest.mark.parametrize(("size", "stated"), [(None, None), ((0, 0), None), ((0, 5), (0, 5)), ((7, 9), (7, 9))])
def test_a_size_of_nothing_is_none(
    tmp_path: Path, size: tuple[object, object] | None, stated: tuple[int, int] | None
) -> None:
    write(tmp_path / "Annotations/a.xml", size=size)
    assert read(tmp_path).images[0].size == stated


def test_turned_boxes_polygons_and_difficult_objects_are_said(tmp_path: Path) -> None:
    turned = "<robndbox><cx>10</cx><cy>5</cy><w>8</w><h>2</h><angle>{}</angle></robndbox>"
    write(
        tmp_path / "Annotations/a.xml",
        f"<name>tank</name>{turned.format(math.pi / 2)}",
        f"<name>tank</name>{turned.format(math.pi / 4)}",
        f"<name>tank</name><difficult>1</difficult>{BOX}",
        f"<name>tank</name><difficult>0</difficult>{BOX}<polygon><x1>1</x1></polygon>",
    )
    found = read(tmp_path)
    assert found.records[0].box == pytest.approx((9, 1, 11, 9))
    half = 5 / math.sqrt(2)
    assert found.records[1].box == pytest.approx((10 - half, 5 - half, 10 + half, 5 + half))
    assert [(finding.check, finding.place[-8:]) for finding in found.findings] == [
        ("turned-box", "object 1"),
        ("difficult", "object 3"),
        ("outline", "object 4"),
    ]
    assert found.findings[0].problem.endswith("; 1 more")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation>\n<object>", r"a\.xml:2: not XML"),
        ("", r"a\.xml:1: not XML"),
        ("<other/>", "its root is <other>"),
        ("<annotation><object></object></annotation>", "object 1: has no name"),
        ("<annotation><object><name>t</name></object></annotation>", "object 1: has no bndbox"),
        (
            "<annotation><object><name>t</name><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            "object 1: bndbox has .*'ymin': None",
        ),
        (
            f"<annotation><object><name>t</name>{BOX.replace('2.5', '2,5')}</object></annotation>",
            "object 1: bndbox has .*'ymin': '2,5'",
        ),
        ("<annotation><size><width>x</width><height>1</height></size></annotation>", "size is .'x', '1'."),
        ('<!DOCTYPE a [<!ENTITY e "e">]><annotation>&e;</annotation>', "not read"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "a.xml"),
    ],
)
def test_unreadable_xml_is_named(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path / "Annotations/whole.xml")
    (tmp_path / "Annotations/a.xml").write_text(text)
    with pytest.raises(UserError, match=words) as error:
        read(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_no_voc_xml_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no voc annotations"):
        read(tmp_path)
