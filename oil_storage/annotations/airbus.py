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
from oil_storage.annotations.images import image_files, scene_name
from oil_storage.annotations.record import Annotations, ImageRecord, Record
from oil_storage.annotations.table import is_table
from oil_storage.errors import UserError
from oil_storage.files import read_text, visible
from oil_storage.scene import CLASS_NAME, Scene

IMAGES = "images"
COLUMNS = ("image_id", "class", "bounds")
NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
BOUNDS = re.compile(rf"\s*\({NUMBER},{NUMBER},{NUMBER},{NUMBER}\)\s*")


def annotation_files(source: Path) -> list[Path]:
    """Return the CSV file of ``source``, unless it has the columns of :mod:`.table`."""
    return [file for file in visible(source, "annotations.csv") if not is_table(file)]


def read(source: Path, files: list[Path]) -> Annotations:
    """Read ``source/annotations.csv``.

    The result contains the images in ``source/images``, sorted by name. Missing images that the CSV file mentions
    follow.
    """
    path = files[0]
    images = {file.stem: ImageRecord(file.stem, file, None, str(file)) for file in image_files(source / IMAGES)}
    records = []
    rows = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    try:
        header = rows.fieldnames or []
        if any(header.count(column) != 1 for column in COLUMNS):
            raise UserError(f"{path}:1: header is {','.join(header)!r}; it must contain {', '.join(COLUMNS)} once each")
        for row in rows:
            place = f"{path}:{rows.line_num}"
            if None in row or None in row.values():
                raise UserError(f"{place}: the number of fields differs from the header; put bounds in double quotes")
            image, class_name, bounds = (row[column] for column in COLUMNS)
            match = BOUNDS.fullmatch(bounds)
            if not image or not class_name or match is None:
                problem = f"image_id is {image!r}, class is {class_name!r}, bounds is {bounds!r}"
                raise UserError(f'{place}: {problem}; set all three, and write bounds as "(12, 34, 56, 78)"')
            if image not in images and str(Path(image).parent) in (".", "images"):
                image = scene_name(image)
            images.setdefault(image, ImageRecord(image, None, None, place))
            x1, y1, x2, y2 = map(float, match.groups())
            records.append(Record(image, class_name, (x1, y1, x2, y2), place))
    except csv.Error as error:
        raise UserError(f"{path}:{rows.reader.line_num}: invalid CSV ({error}); correct the line") from error
    return Annotations(list(images.values()), records, files)


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/annotations.csv``; integral coordinates are written without decimals."""
    with (out / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for scene in scenes:
            for box in shortest(scene.boxes):
                rows.writerow((scene.scene_id, CLASS_NAME, f"({', '.join(map(plain_text, box))})"))
