"""Shapes other than upright boxes: outlines, turned rectangles and ellipses become their bounding boxes."""

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictFloat

from oil_storage.annotations.boxes import bounds, corners, is_upright_box, rounded
from oil_storage.annotations.record import Annotations, Record

Point = Annotated[list[StrictFloat], Field(min_length=2, max_length=2)]
"""x and y of a point in a JSON file."""


def add_shape(
    annotations: Annotations,
    file: Path,
    image: str,
    class_name: str,
    points: NDArray[np.float64] | None,
    place: str,
    kind: str = "",
) -> None:
    """Add the bounding box of a shape, or leave out a shape that has none, such as a point or a line.

    Report once for each file that a shape is not an upright box.

    Args:
        annotations: receives the record.
        file: annotation file, which the report counts by.
        image: name of the image, as :meth:`.Annotations.add_image` returned it.
        class_name: class as written.
        points: x and y in pixels, ``(N, 2)``: the corners of a box, or points of an outline; None if there is no box.
        place: location in the source.
        kind: name of a shape without a box, for the report.
    """
    if points is None:
        record = Record(image, class_name, (0, 0, 0, 0), place)
        annotations.leave_out(record, "no-box", f"is a {kind}, which has no box")
        return
    if not is_upright_box(points):
        problem = f"outline of {len(points)} points, not an axis-aligned box"
        annotations.report_once(file, "outline", place, problem, "its bounding box is used")
    annotations.records.append(Record(image, class_name, rounded(bounds(points)), place))


def turned_rectangle(
    box: tuple[float, float, float, float], degrees: float, pivot: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the corners ``(4, 2)`` of a box xyxy that is turned clockwise, as seen on the screen, around a point."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (corners(box) - pivot) @ turn + pivot if degrees else corners(box)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0) -> NDArray[np.float64]:
    """Return the corners ``(4, 2)`` of the bounds of an ellipse whose first axis is turned by ``degrees``."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    width = math.hypot(radii[0] * cosine, radii[1] * sine)
    height = math.hypot(radii[0] * sine, radii[1] * cosine)
    x, y = centre
    return corners((x - width, y - height, x + width, y + height))
