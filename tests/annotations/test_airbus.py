from pathlib import Path

import pytest

from oil_storage.annotations import Record
from oil_storage.annotations.airbus import read
from oil_storage.errors import UserError


def write(folder: Path, text: str) -> Path:
    (folder / "annotations.csv").write_text(text, encoding="utf-8")
    return folder


def test_rows_are_read_as_written_with_their_line(tmp_path: Path) -> None:
    write(tmp_path, 'image_id,class,bounds\na,tank,"(1, 2, 3, 4)"\nb,other,"(9, -8.5, 7, 1e1)"\n')
    assert read(tmp_path) == [
        Record("a", "tank", (1, 2, 3, 4), f"{tmp_path}/annotations.csv:2"),
        Record("b", "other", (9, -8.5, 7, 10), f"{tmp_path}/annotations.csv:3"),
    ]


@pytest.mark.parametrize(
    "text",
    ['id,image_id,class,bounds\n7,a,tank,"(1,2,3,4)"\n', '\ufeffbounds,class,image_id\n"( 1 , 2 , 3 , 4 )",tank,a\n'],
)
def test_other_columns_order_and_byte_order_mark_do_not_matter(tmp_path: Path, text: str) -> None:
    assert read(write(tmp_path, text)) == [Record("a", "tank", (1, 2, 3, 4), f"{tmp_path}/annotations.csv:2")]


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
def test_broken_bounds_are_named_by_line(tmp_path: Path, bounds: str) -> None:
    write(tmp_path, f'image_id,class,bounds\na,tank,"(1, 2, 3, 4)"\na,tank,{bounds}\n')
    with pytest.raises(UserError, match=r"annotations\.csv:3: .*bounds"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "missing"), [("image_id,class", "bounds"), ("a,b,c", "image_id, class, bounds"), ("", "bounds")]
)
def test_missing_columns_are_named(tmp_path: Path, header: str, missing: str) -> None:
    with pytest.raises(UserError, match=f"annotations.csv:1: no column .*{missing}"):
        read(write(tmp_path, header + "\n"))


def test_no_file_and_no_text_get_a_line_each(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path)
    (tmp_path / "annotations.csv").write_bytes(b"image_id,class,bounds\n\xff\xfe\n")
    with pytest.raises(UserError, match="UTF-8"):
        read(tmp_path)


def test_a_line_that_is_no_csv_is_named(tmp_path: Path) -> None:
    write(tmp_path, 'image_id,class,bounds\na,tank,"(1, 2, 3, 4)"\na,tank,"(1, 2, 3, 4)"5\n')
    with pytest.raises(UserError, match=r"annotations\.csv:3: not a CSV"):
        read(tmp_path)


def test_the_real_file_reads_whole(airbus: Path) -> None:
    assert len(read(airbus)) == sum(1 for _ in (airbus / "annotations.csv").open()) - 1
