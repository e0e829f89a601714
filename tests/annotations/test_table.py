from pathlib import Path

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, ImageRecord, Record, formats
from oil_storage.errors import UserError
from oil_storage.scene import CLASS_NAME

HEADER = "filename,xmin,ymin,xmax,ymax"


def write(path: Path, text: str, *images: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for name in images:
        (path.parent / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 10)).save(path.parent / name)
    return path


def read(source: Path) -> Annotations:
    assert formats.detect(source) == "table"
    return formats.read(source)


def test_read_returns_rows_with_their_line_and_all_images(tmp_path: Path) -> None:
    file = write(
        tmp_path / "annotations.csv", f"{HEADER}\na.jpg,1,2.5,9,8\na.jpg,2,2,4,4\nz.jpg,1,2,3,4\n", "a.jpg", "b.jpg"
    )
    annotations = read(tmp_path)
    assert annotations.records == [
        Record("a.jpg", CLASS_NAME, (1, 2.5, 9, 8), f"{file}:2"),
        Record("a.jpg", CLASS_NAME, (2, 2, 4, 4), f"{file}:3"),
        Record("z.jpg", CLASS_NAME, (1, 2, 3, 4), f"{file}:4"),
    ]
    assert annotations.images == [
        ImageRecord("a.jpg", tmp_path / "a.jpg", None, f"{file}:2"),
        ImageRecord("z.jpg", None, None, f"{file}:4"),
        ImageRecord("b.jpg", tmp_path / "b.jpg", None, str(tmp_path / "b.jpg")),
    ]


def test_columns_may_have_any_order_and_state_class_and_size(tmp_path: Path) -> None:
    text = "\ufeffwidth,height,class ,ymin, xmin,ymax,xmax,filename \n20,10,tank,2,1,4,3,images/a.jpg\n"
    file = write(tmp_path / "labels.csv", text, "images/a.jpg")
    annotations = read(tmp_path)
    assert annotations.records == [Record("a.jpg", "tank", (1, 2, 3, 4), f"{file}:2")]
    assert annotations.images == [ImageRecord("a.jpg", tmp_path / "images/a.jpg", (20, 10), f"{file}:2")]


@pytest.mark.parametrize(
    ("table", "image"),
    [
        ("labels.csv", "a.jpg"),
        ("labels.csv", "JPEGImages/a.jpg"),
        ("labels/train.csv", "../images/a.jpg"),
        ("train/_annotations.csv", "a.jpg"),
    ],
)
def test_read_finds_images_in_common_layouts(tmp_path: Path, table: str, image: str) -> None:
    write(tmp_path / table, f"{HEADER}\na.jpg,1,2,3,4\n", image)
    (found,) = read(tmp_path).images
    assert found.path is not None
    assert found.path.resolve() == (tmp_path / table).parent.joinpath(image).resolve()


@pytest.mark.parametrize(
    ("line", "words"),
    [("a.jpg,1,2,3", "number of fields"), ("a.jpg,1,2,3,x", "could not convert"), ('"a.jpg,1,2,3,4', "invalid CSV")],
)
def test_invalid_line_is_an_error_with_its_number(tmp_path: Path, line: str, words: str) -> None:
    write(tmp_path / "labels.csv", f"{HEADER}\na.jpg,1,2,3,4\n{line}\n", "a.jpg")
    with pytest.raises(UserError, match=rf"labels\.csv:3: .*{words}"):
        read(tmp_path)
