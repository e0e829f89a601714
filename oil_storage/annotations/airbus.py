"""The layout of the Airbus Oil Storage Detection data set: ``images/`` beside ``annotations.csv``.

The CSV has the columns ``image_id, class, bounds``, in some copies an ``id`` before them; ``bounds`` is a string
``"(xmin, ymin, xmax, ymax)"`` in pixels of the scene.

Source: https://www.kaggle.com/datasets/airbusgeo/airbus-oil-storage-detection-dataset
"""

import csv
import re
from collections.abc import Container, Sequence
from pathlib import Path

from oil_storage.annotations.decimals import decimals, text
from oil_storage.annotations.images import copy_images, image_files, scene_name
from oil_storage.annotations.record import Annotations, ImageRecord, Record
from oil_storage.errors import UserError
from oil_storage.scene import CLASS_NAME, Scene

COLUMNS = ("image_id", "class", "bounds")
NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
BOUNDS = re.compile(rf"\s*\({NUMBER},{NUMBER},{NUMBER},{NUMBER}\)\s*")


def is_format_of(source: Path) -> bool:
    """Whether ``source`` looks like this format."""
    return (source / "annotations.csv").is_file()


def read(source: Path) -> Annotations:
    """Read every row of ``source/annotations.csv`` and find every image of ``source/images``.

    Args:
        source: folder with ``images/`` and ``annotations.csv``.

    Returns:
        Annotations: images by name, those that only the CSV names last; records in the file's order.

    Raises:
        UserError: no such file or folder, a column is missing or there twice, a row has more or fewer fields than the
            header, or ``bounds`` is not four numbers; the line is named.
    """
    path = source / "annotations.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such file; SOURCE must hold images/ and annotations.csv (the Airbus layout)")
    images = {file.stem: ImageRecord(file.stem, file, None, str(file)) for file in image_files(source / "images")}
    records = _rows(path, images)
    for record in records:
        images.setdefault(record.image, ImageRecord(record.image, None, None, record.place))
    return Annotations(list(images.values()), records, [path])


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/images/`` and ``out/annotations.csv``; coordinates are whole numbers where the boxes' are."""
    copy_images(scenes, out / "images")
    with (out / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for scene in scenes:
            for box in decimals(scene.boxes):
                rows.writerow((scene.scene_id, CLASS_NAME, f"({', '.join(map(text, box))})"))


def _rows(path: Path, scenes: Container[str]) -> list[Record]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            columns = _columns(header, path)
            return [_record(row, header, columns, f"{path}:{rows.line_num}", scenes) for row in rows if row]
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
            ) from error
        except csv.Error as error:
            raise UserError(f"{path}:{rows.line_num}: not a CSV ({error})") from error


def _columns(header: Sequence[str], path: Path) -> list[int]:
    """Where a row has each of :data:`COLUMNS`."""
    for wrong, names in (
        ("no column", [column for column in COLUMNS if column not in header]),
        ("more than one column", [column for column in COLUMNS if header.count(column) > 1]),
    ):
        if names:
            raise UserError(
                f"{path}:1: {wrong} {', '.join(names)}; the header must name {', '.join(COLUMNS)} once each, "
                f"it is {','.join(header) or 'empty'}"
            )
    return [header.index(column) for column in COLUMNS]


def _record(
    row: Sequence[str], header: Sequence[str], columns: Sequence[int], place: str, scenes: Container[str]
) -> Record:
    if len(row) != len(header):
        raise UserError(
            f"{place}: {len(row)} fields, the header has {len(header)}; bounds have commas and need double quotes"
        )
    image, class_name, bounds = (row[column] for column in columns)
    match = BOUNDS.fullmatch(bounds)
    if not image or not class_name or match is None:
        raise UserError(
            f'{place}: a row needs an image_id, a class and bounds like "(12, 34, 56, 78)"; its bounds are {bounds!r}'
        )
    x1, y1, x2, y2 = (float(number) for number in match.groups())
    return Record(image if image in scenes else _scene_name(image), class_name, (x1, y1, x2, y2), place)


def _scene_name(image_id: str) -> str:
    """The image's file name without suffix, which an id may have, as it may have the folder."""
    return scene_name(image_id) if str(Path(image_id).parent) in (".", "images") else image_id
