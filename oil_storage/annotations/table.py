"""CSV tables with one box per line and the columns ``filename, xmin, ymin, xmax, ymax``, in pixels of the image.

A column ``class`` names the class; without it, all boxes have the class of this project. Other columns are ignored, and
the columns may have any order. TensorFlow's object detection examples and many exports use such tables.

Source: https://tensorflow-object-detection-api-tutorial.readthedocs.io/en/latest/training.html
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from oil_storage.annotations.images import images_by_stem, scene_name
from oil_storage.annotations.record import Annotations, Record
from oil_storage.errors import UserError
from oil_storage.files import read_text, visible
from oil_storage.scene import CLASS_NAME

LAYOUTS = ("*.csv", "*/*.csv")
EDGES = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("filename", *EDGES)
CLASS = "class"


def annotation_files(source: Path) -> list[Path]:
    """Return the CSV files of ``source`` and its subfolders whose header has all columns."""
    return [file for file in visible(source, *LAYOUTS) if file.is_file() and is_table(file)]


def is_table(file: Path) -> bool:
    """Return whether the first line of a file contains all :data:`COLUMNS`."""
    with file.open("rb") as lines:
        header = lines.readline(4096).decode("utf-8-sig", errors="replace")
    return {*COLUMNS} <= {name.strip().strip('"') for name in header.split(",")}


def read(source: Path, files: list[Path]) -> Annotations:
    """Read tables.

    An image is searched by its file name in the folder of the table, in ``source`` and in the subfolders of these two.
    Other images in a folder where an image was found have no boxes and come last.
    """
    annotations = Annotations([], [], files)
    found: dict[Path, str] = {}
    for file in files:
        _read_file(file, _images(file, source), found, annotations)
    for folder in sorted({path.parent for path in found}):
        for path in images_by_stem(folder).values():
            if path not in found:
                annotations.add_image(path.name, path, None, str(path))
    return annotations


def _images(file: Path, source: Path) -> dict[str, Path]:
    """Return the images near a table by name without suffix; the nearest folders come first."""
    images: dict[str, Path] = {}
    for folder in dict.fromkeys((file.parent, source)):
        for near in (folder, *(path for path in visible(folder, "*") if path.is_dir())):
            images = {**images_by_stem(near), **images}
    return images


def _read_file(file: Path, images: Mapping[str, Path], found: dict[Path, str], annotations: Annotations) -> None:
    rows = csv.DictReader(io.StringIO(read_text(file)), strict=True, skipinitialspace=True)
    missing: dict[str, str] = {}
    try:
        rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
        for row in rows:
            place = f"{file}:{rows.line_num}"
            if None in row or None in row.values():
                raise UserError(f"{place}: the number of fields differs from the header; correct the line")
            name = PureWindowsPath(row["filename"].strip()).name  # also without the folders of a POSIX path
            path = images.get(scene_name(name))
            if path and path not in found:
                found[path] = annotations.add_image(name, path, _size(row), place)
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
