"""CSV tables with one box per line and the columns ``filename, xmin, ymin, xmax, ymax``, in pixels of the image.

A column ``class`` names the class; without it, all boxes have the class of this project. Other columns are ignored, and
the columns may have any order. TensorFlow's object detection examples and many exports use such tables.

Source: https://tensorflow-object-detection-api-tutorial.readthedocs.io/en/latest/training.html
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.source import Source, add_backgrounds
from oil_storage.errors import UserError
from oil_storage.files import read_start, read_text
from oil_storage.scene import CLASS_NAME

EDGES = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("filename", *EDGES)
CLASS = "class"


def annotation_files(source: Source) -> list[Path]:
    """Return the CSV files whose header has all columns."""
    return [file for file in source.with_suffix(".csv") if is_table(file)]


def is_table(file: Path) -> bool:
    """Return whether the first line of a file contains all :data:`COLUMNS`."""
    header = read_start(file, 4096).decode("utf-8-sig", errors="replace").partition("\n")[0]
    return {*COLUMNS} <= set(column_names(header))


def read(source: Source, files: list[Path]) -> Annotations:
    """Read tables. Other images in a folder where an image was found have no boxes and come last."""
    annotations = Annotations([], [], files)
    found: dict[Path, str] = {}
    for file in files:
        _read_file(file, source, found, annotations)
    add_backgrounds(annotations, source)
    return annotations


def column_names(header: str) -> list[str]:
    """Return the names of columns in lower case, without spaces and quotes."""
    return [name.strip().strip('"').lower() for name in header.split(delimiter(header))]


def delimiter(header: str) -> str:
    """Return the separator of columns: a comma, or a semicolon or tab if the header has more of them."""
    return max(",;\t", key=header.count)


def _read_file(file: Path, source: Source, found: dict[Path, str], annotations: Annotations) -> None:
    text = read_text(file)
    header, _, _ = text.partition("\n")
    rows = csv.DictReader(
        io.StringIO(text), column_names(header), delimiter=delimiter(header), strict=True, skipinitialspace=True
    )
    missing: dict[str, str] = {}
    try:
        next(rows)  # the header
        for row in rows:
            place = f"{file}:{rows.line_num}"
            if None in row or None in row.values():
                raise UserError(f"{place}: the number of fields differs from the header; correct the line")
            name = row["filename"].strip()
            path = source.images.find(name, near=file)
            if path and path not in found:
                found[path] = annotations.add_image(path.name, path, _size(row), place)
            elif not path and name not in missing:
                missing[name] = annotations.add_image(name, None, None, place)
            try:
                x1, y1, x2, y2 = (float(row[edge]) for edge in EDGES)
            except ValueError as error:
                raise UserError(f"{place}: {error}; {', '.join(EDGES)} must be numbers") from None
            class_name = row.get(CLASS, CLASS_NAME).strip()
            image = found[path] if path else missing[name]
            annotations.records.append(Record(image, class_name, (x1, y1, x2, y2), place))
    except csv.Error as error:
        raise UserError(f"{file}:{rows.reader.line_num}: invalid CSV ({error}); correct the line") from error


def _size(row: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the width and height of the image if the table states them."""
    sides = [row.get(name, "").strip() for name in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if all(side.isdecimal() for side in sides) else None
