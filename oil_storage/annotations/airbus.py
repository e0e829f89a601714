"""The layout of the Airbus Oil Storage Detection data set: ``images/`` beside ``annotations.csv``.

The CSV has the columns ``image_id, class, bounds``, in some copies an ``id`` before them; ``bounds`` is a string
``"(xmin, ymin, xmax, ymax)"`` in pixels of the scene.

Source: https://www.kaggle.com/datasets/airbusgeo/airbus-oil-storage-detection-dataset
"""

import csv
import re
from pathlib import Path

from oil_storage.annotations.record import Record
from oil_storage.errors import UserError

COLUMNS = ("image_id", "class", "bounds")
NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
BOUNDS = re.compile(rf"\s*\({NUMBER},{NUMBER},{NUMBER},{NUMBER}\)\s*")


def read(source: Path) -> list[Record]:
    """Read every row of ``source/annotations.csv``.

    Args:
        source: folder with ``images/`` and ``annotations.csv``.

    Returns:
        list[Record]: one per row, in the file's order.

    Raises:
        UserError: no such file, a column is missing, or ``bounds`` is not four numbers; the line is named.
    """
    path = source / "annotations.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such file; SOURCE must hold images/ and annotations.csv (the Airbus layout)")
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            rows = csv.DictReader(file, strict=True)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{path}:1: no column {', '.join(missing)}; the header must name {', '.join(COLUMNS)}, "
                    f"it is {','.join(rows.fieldnames or ()) or 'empty'}"
                )
            return [_record(row, f"{path}:{rows.line_num}") for row in rows]
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
            ) from error
        except csv.Error as error:
            raise UserError(f"{path}:{rows.reader.line_num}: not a CSV ({error})") from error


def _record(row: dict[str, str | None], place: str) -> Record:
    image, class_name, bounds = (row[column] for column in COLUMNS)
    match = BOUNDS.fullmatch(bounds or "")
    if not image or not class_name or match is None:
        raise UserError(
            f'{place}: a row needs an image_id, a class and bounds like "(12, 34, 56, 78)"; its bounds are {bounds!r}'
        )
    x1, y1, x2, y2 = (float(number) for number in match.groups())
    return Record(image, class_name, (x1, y1, x2, y2), place)
