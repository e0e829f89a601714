"""DOTA annotations: one text file per image, one line per object with four corners.

A line is ``x1 y1 x2 y2 x3 y3 x4 y4 category difficult``, in pixels. The first lines may be ``imagesource:...`` and
``gsd:0.15``, the ground resolution in metres per pixel.

Source: https://captain-whu.github.io/DOTA/dataset.html
"""

import re
from pathlib import Path

import numpy as np

from oil_storage.annotations.record import Annotations
from oil_storage.annotations.shapes import add_shape
from oil_storage.annotations.source import Source, add_backgrounds
from oil_storage.errors import UserError
from oil_storage.files import read_text

FOLDER = "labeltxt"
"""Start of the names of label folders, in lower case."""
HEADER = re.compile(r"(imagesource|acquisition dates|gsd)\s*:\s*(.*)", re.IGNORECASE)
OBJECT = re.compile(rf"{HEADER.pattern}|(-?\d+(\.\d+)?\s+){{8}}\S*[a-z]\S*(\s+[0-2])?\s*", re.IGNORECASE)
FIRST_LINE = re.compile(rf"^({OBJECT.pattern})$", re.IGNORECASE | re.MULTILINE)
CORNERS = 8
"""Number of coordinates in a line."""
DIFFICULT = "1"


def annotation_files(source: Source) -> list[Path]:
    """Return the text files with lines of DOTA, and all others in folders with such a file or the name ``labelTxt``."""
    texts = source.with_suffix(".txt")
    folders = {file.parent for file in texts if file.parent.name.lower().startswith(FOLDER) or is_dota(file, source)}
    return [file for file in texts if file.parent in folders]


def is_dota(file: Path, source: Source) -> bool:
    """Return whether a file has a header or an object of DOTA."""
    return source.starts_with(file, FIRST_LINE)


def read(source: Source, files: list[Path]) -> Annotations:
    """Read label files; each belongs to the image with the same name. Images without a label file have no boxes."""
    annotations = Annotations([], [], files)
    for file in files:
        _read_file(file, source, annotations)
    add_backgrounds(annotations, source)
    return annotations


def _read_file(file: Path, source: Source, annotations: Annotations) -> None:
    lines = list(enumerate(read_text(file).splitlines(), start=1))
    headers = {
        match[1].lower(): (number, match[2]) for number, line in lines if (match := HEADER.fullmatch(line.strip()))
    }
    gsd = _gsd(file, *headers["gsd"]) if "gsd" in headers else None
    path = source.images.find(file.stem, near=file)
    image = annotations.add_image(file.stem, path, None, str(file), gsd)
    for number, line in lines:
        if not line.strip() or HEADER.fullmatch(line.strip()):
            continue
        place = f"{file}:{number}"
        words = line.split()
        if len(words) not in (CORNERS + 1, CORNERS + 2):
            raise UserError(f"{place}: {len(words)} values; write x1 y1 x2 y2 x3 y3 x4 y4 category difficult")
        try:
            points = np.array(list(map(float, words[:CORNERS]))).reshape(-1, 2)
        except ValueError as error:
            raise UserError(f"{place}: {error}; the first {CORNERS} values must be numbers") from None
        if words[CORNERS + 1 :] == [DIFFICULT]:
            annotations.report_once(file, "difficult", place, "object is marked difficult", "mark ignored")
        add_shape(annotations, file, image, words[CORNERS], points, place)


def _gsd(file: Path, number: int, text: str) -> float | None:
    """Return the ground resolution in metres per pixel; None for the words that DOTA writes if it is unknown."""
    if text.strip().lower() in ("", "none", "null", "nan"):
        return None
    try:
        gsd = float(text)
    except ValueError:
        gsd = 0
    if not 0 < gsd < float("inf"):
        raise UserError(f"{file}:{number}: gsd is {text!r}; write metres per pixel, or remove the line")
    return gsd
