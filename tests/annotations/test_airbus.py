from pathlib import Path

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, ImageRecord, Record, formats
from oil_storage.errors import UserError


def read(source: Path) -> Annotations:
    return formats.read(source, "airbus")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.png", "a.v2.jpg", "c.jpg.png"):
        Image.new("RGB", (20, 10)).save(tmp_path / "images" / name)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "annotations.csv").write_text(text, encoding="utf-8")
    return folder


def test_read_returns_rows_with_their_line(source: Path) -> None:
    write(source, 'image_id,class,bounds\na,tank,"(1, 2, 3, 4)"\nb,other,"(9, -8.5, 7, 1e1)"\n')
    assert formats.detect(source) == "airbus"
    annotations = read(source)
    assert annotations.records == [
        Record("a", "tank", (1, 2, 3, 4), f"{source}/annotations.csv:2"),
        Record("b", "other", (9, -8.5, 7, 10), f"{source}/annotations.csv:3"),
    ]
    assert annotations.files == [source / "annotations.csv"]
    assert annotations.findings == []


def test_read_returns_all_images_including_those_without_file(source: Path) -> None:
    annotations = read(write(source, 'image_id,class,bounds\nz,tank,"(1, 2, 3, 4)"\n'))
    assert [image.name for image in annotations.images] == ["a", "a.v2", "b", "c.jpg", "z"]
    assert annotations.images[0] == ImageRecord("a", source / "images/a.jpg", None, str(source / "images/a.jpg"))
    assert annotations.images[-1] == ImageRecord("z", None, None, f"{source}/annotations.csv:2")


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("a", "a"),
        ("a.jpg", "a"),
        ("a.JPG", "a"),
        ("images/a.jpg", "a"),
        ("a.v2", "a.v2"),
        ("a.v2.jpg", "a.v2"),
        ("c.jpg", "c.jpg"),
        ("c.jpg.png", "c.jpg"),
        ("a.v3", "a.v3"),
        ("other/a.jpg", "a"),
        ("C:\\tanks\\a.jpg", "a"),
        ("A", "a"),
        ("other/z.jpg", "other/z.jpg"),
    ],
)
def test_image_id_may_include_the_images_folder_and_a_suffix(source: Path, image_id: str, name: str) -> None:
    annotations = read(write(source, f'image_id,class,bounds\n{image_id},tank,"(1, 2, 3, 4)"\n'))
    assert [record.image for record in annotations.records] == [name]
    assert name in {image.name for image in annotations.images}


@pytest.mark.parametrize(
    "text",
    ['id,image_id,class,bounds\n7,a,tank,"(1,2,3,4)"\n', '\ufeffbounds,class,image_id\n"( 1 , 2 , 3 , 4 )",tank,a\n'],
)
def test_read_accepts_any_column_order_and_a_byte_order_mark(source: Path, text: str) -> None:
    assert read(write(source, text)).records == [Record("a", "tank", (1, 2, 3, 4), f"{source}/annotations.csv:2")]


@pytest.mark.parametrize(
    "bounds",
    [
        "",
        '"(1, 2, 3)"',
        '"(1, 2, 3, 4, 5)"',
        '"1, 2, 3, 4"',
        '"(1, 2, x, 4)"',
        '"(nan, 2, 3, 4)"',
        "\"__import__('os')\"",
    ],
)
def test_invalid_bounds_are_reported_with_their_line(source: Path, bounds: str) -> None:
    write(source, f'image_id,class,bounds\na,tank,"(1, 2, 3, 4)"\na,tank,{bounds}\n')
    with pytest.raises(UserError, match=r"annotations\.csv:3: .*bounds"):
        read(source)


@pytest.mark.parametrize("header", ["image_id,class", "a,b,c", "", "image_id,class,bounds,bounds"])
def test_header_must_contain_each_column_once(source: Path, header: str) -> None:
    with pytest.raises(
        UserError, match=r"annotations\.csv:1: header is .*; it must contain image_id, class, bounds once each"
    ):
        read(write(source, header + "\n"))


def test_columns_that_are_not_read_may_be_duplicated(source: Path) -> None:
    assert len(read(write(source, 'x,x,image_id,class,bounds\n1,2,a,tank,"(1, 2, 3, 4)"\n')).records) == 1


@pytest.mark.parametrize("row", ['a,tank,"(1, 2, 3, 4)",', "a,tank,(1, 2, 3, 4)", "a,tank", 'a,b,tank,"(1, 2, 3, 4)"'])
def test_row_with_wrong_number_of_fields_is_reported(source: Path, row: str) -> None:
    write(source, f'image_id,class,bounds\na,tank,"(1, 2, 3, 4)"\n\n{row}\n')
    with pytest.raises(UserError, match=r"annotations\.csv:4: the number of fields differs from the header"):
        read(source)


def test_missing_csv_and_invalid_encoding_are_reported(source: Path) -> None:
    with pytest.raises(UserError, match=r"no airbus annotations; expected annotations\.csv"):
        read(source)
    (source / "annotations.csv").write_bytes(b"image_id,class,bounds\n\xff\xfe\n")
    with pytest.raises(UserError, match="UTF-8"):
        read(source)


def test_invalid_csv_is_reported_with_its_line(source: Path) -> None:
    write(source, 'image_id,class,bounds\na,tank,"(1, 2, 3, 4)"\na,tank,"(1, 2, 3, 4)"5\n')
    with pytest.raises(UserError, match=r"annotations\.csv:3: invalid CSV"):
        read(source)


def test_read_returns_all_rows_of_the_airbus_data(airbus: Path) -> None:
    annotations = read(airbus)
    assert len(annotations.records) == sum(1 for _ in (airbus / "annotations.csv").open()) - 1
    assert all(image.path for image in annotations.images)
