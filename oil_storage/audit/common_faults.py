"""Faults that most boxes of a file or of a data set share, such as wrong units or sizes in place of corners."""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations import Record
from oil_storage.errors import UserError
from oil_storage.findings import Finding, error
from oil_storage.scene import Scene

SOME = 0.2
"""Fraction of the boxes that must cross the border before corners are suspected in place of sizes."""
NEARLY_ALL = 0.9
"""Fraction of the boxes that must have wrong units before the whole data set is rejected."""
FEWEST = 8
"""Minimum number of boxes to judge their format. A few boxes may have swapped corners by mistake."""
NOT_CORNERS = "not-corners"
"""Name of the check for boxes with x, y, width, height instead of two corners."""
SAME_FAULT = "same-fault"
"""Name of the check for files in which most boxes have the same fault."""
BEYOND = 0.25
"""Share of its side by which a box must extend beyond the border to count as a fault of the file."""
ALL_SCENES = "all scenes"
"""Place of a finding about the whole data set."""


def judge_units(records: Sequence[tuple[Record, Scene]]) -> list[Finding]:
    """Return an error if most boxes have a position and a size instead of two corners.

    Raises:
        UserError: nearly all coordinates are normalized but the format requires pixels, or vice versa.
    """
    finite = [(record, image) for record, image in records if np.isfinite(record.box).all()]
    if not finite:
        return []
    first = finite[0][0]
    boxes = np.array([record.box for record, _ in finite], np.float64)
    sizes = np.array([(image.width, image.height) for _, image in finite], np.float64)
    if (within := ((boxes >= 0) & (boxes <= 1)).all(axis=1)).mean() >= NEARLY_ALL:
        raise UserError(
            f"{first.place}: {within.sum()} of {len(boxes)} boxes lie between 0 and 1, for example {first.box};\n"
            "coordinates look normalized; multiply them by the width and height of the image"
        )
    shares = boxes / np.tile(sizes, 2)
    outside = (boxes[:, :2] >= sizes).any(axis=1) & (shares[:, 2:] <= np.maximum(sizes, 1)).all(axis=1)
    if outside.mean() >= NEARLY_ALL:
        raise UserError(
            f"{first.place}: {outside.sum()} of {len(boxes)} boxes lie outside their image, for example {first.box};\n"
            "coordinates look like pixels, but this format has normalized coordinates; divide by image width and height"
        )
    swapped = (boxes[:, 2:] < boxes[:, :2]).all(axis=1)
    fits = (boxes[:, :2] + boxes[:, 2:] / 2 <= sizes).all(axis=1)  # also true for boxes with a centre and a size
    if len(boxes) < FEWEST or 2 * swapped.sum() <= len(boxes) or fits.mean() < NEARLY_ALL:
        return []
    problem = f"{swapped.sum()} of {len(boxes)} boxes look like x, y, width, height instead of xmin, ymin, xmax, ymax"
    return [error(NOT_CORNERS, ALL_SCENES, problem, "correct them, for example with audit_dataset.py --fix")]


def judge_files(records: Sequence[tuple[Record, Scene]]) -> dict[str, Finding]:
    """Return an error for each file in which most boxes have the same fault, by the path of the file."""
    of_file: dict[str, list[tuple[Record, Scene]]] = defaultdict(list)
    for record, image in records:
        if np.isfinite(record.box).all():
            of_file[file_of(record.place)].append((record, image))
    errors = {}
    for file, placed in of_file.items():
        boxes = np.array([record.box for record, _ in placed], np.float64)
        sizes = np.array([(image.width, image.height) for _, image in placed], np.float64)
        if len(boxes) >= FEWEST and (fault := _common_fault(boxes, sizes)):
            check, problem, count = fault
            first = placed[0][0]
            text = f"{count} of {len(boxes)} boxes {problem}, for example {first.box}"
            errors[file] = error(check, file, text, "correct the file, or export it again")
    return errors


def _common_fault(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> tuple[str, str, int] | None:
    """Return the check and the description of the fault that most boxes have, and their number; None if there is none.

    Args:
        boxes: boxes ``(N, 4)`` xyxy as they were read.
        sizes: width and height ``(N, 2)`` of their images.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    first_edges, last_edges = np.minimum(low, high), np.maximum(low, high)
    over = np.maximum(-first_edges, last_edges - sizes)
    is_over = (over > 1).any(axis=1)
    for first, what in ((low, "x, y, width, height"), ((low + high) / 2, "x and y of the centre, width, height")):
        second = high - low
        as_corners = (second > first).all(axis=1) & (first >= -1).all(axis=1) & (second <= sizes + 1).all(axis=1)
        if is_over.mean() > SOME and as_corners.mean() >= NEARLY_ALL:
            problem = f"look like corners (xmin, ymin, xmax, ymax), not {what}: only as corners they fit their image"
            return NOT_CORNERS, problem, int(as_corners.sum())
    # boxes that the border of a tile cuts extend by less than their size
    beyond = (over > BEYOND * np.maximum(last_edges - first_edges, 1)).any(axis=1)
    outside = ((last_edges <= 0) | (first_edges >= sizes)).any(axis=1)
    faults = (
        (outside, "lie outside their image"),
        (beyond, "extend far beyond the border of their image"),
    )
    for has_fault, problem in faults:
        if 2 * has_fault.sum() > len(boxes):
            return SAME_FAULT, problem, int(has_fault.sum())
    return None


def file_of(place: str) -> str:
    """Return the file of a location such as ``a.csv:17`` or ``a.json: annotations[3]``."""
    return re.sub(r":\d+$|: .*$", "", place)
