"""Layout of the Airbus Oil Storage Detection data set: ``images/`` and ``annotations.csv``.

The CSV file has the columns ``image_id, class, bounds``; some copies have an additional first column ``id``. ``bounds``
is a string ``"(xmin, ymin, xmax, ymax)"`` in pixels of the scene.

Source: https://www.kaggle.com/datasets/airbusgeo/airbus-oil-storage-detection-dataset
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from oil_storage.annotations.boxes import plain_text, shortest
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.source import Source, add_backgrounds
from oil_storage.annotations.table import is_table
from oil_storage.errors import UserError
from oil_storage.files import read_text
from oil_storage.scene import CLASS_NAME, Scene

IMAGES = "images"
NAME = "annotations.csv"
COLUMNS = ("image_id", "class", "bounds")
NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
BOUNDS = re.compile(rf"\s*\({NUMBER},{NUMBER},{NUMBER},{NUMBER}\)\s*")


def annotation_files(source: Source) -> list[Path]:
    """Return the files ``annotations.csv``, unless they have the columns of :mod:`.table`."""
    return [file for file in source.with_suffix(".csv") if file.name.lower() == NAME and not is_table(file)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read the CSV files ``annotations.csv``.

    The result contains the images in the same folders as those that the files name, or in folders ``images`` beside
    the files, sorted by name. Images without a row have no boxes.
    """
    annotations = Annotations([], [], files)
    names: dict[Path | str, str] = {}
    for file in files:
        beside = (path for path in source.images.paths if path.parent.parent == file.parent)
        for path in (path for path in beside if path.parent.name.lower() == IMAGES):
            names[path] = annotations.add_image(path.stem, path, None, str(path))
        _read_file(file, source, names, annotations)
    add_backgrounds(annotations, source)
    return annotations


def _read_file(file: Path, source: Source, names: dict[Path | str, str], annotations: Annotations) -> None:
    rows = csv.DictReader(io.StringIO(read_text(file)), strict=True)
    try:
        header = rows.fieldnames or []
        if any(header.count(column) != 1 for column in COLUMNS):
            raise UserError(f"{file}:1: header is {','.join(header)!r}; it must contain {', '.join(COLUMNS)} once each")
        for row in rows:
            place = f"{file}:{rows.line_num}"
            if None in row or None in row.values():
                raise UserError(f"{place}: the number of fields differs from the header; put bounds in double quotes")
            image, class_name, bounds = (row[column] for column in COLUMNS)
            match = BOUNDS.fullmatch(bounds)
            if not image or not class_name or match is None:
                problem = f"image_id is {image!r}, class is {class_name!r}, bounds is {bounds!r}"
                raise UserError(f'{place}: {problem}; set all three, and write bounds as "(12, 34, 56, 78)"')
            path = source.images.find(image, near=file)
            key = path or image
            if key not in names:
                names[key] = annotations.add_image(path.stem if path else image, path, None, place)
            x1, y1, x2, y2 = map(float, match.groups())
            annotations.records.append(Record(names[key], class_name, (x1, y1, x2, y2), place))
    except csv.Error as error:
        raise UserError(f"{file}:{rows.reader.line_num}: invalid CSV ({error}); correct the line") from error


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/annotations.csv``; integral coordinates are written without decimals."""
    with (out / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for scene in scenes:
            for box in shortest(scene.boxes):
                rows.writerow((scene.scene_id, CLASS_NAME, f"({', '.join(map(plain_text, box))})"))
