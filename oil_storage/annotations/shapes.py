"""Shapes other than upright boxes: outlines, turned rectangles and ellipses become their bounding boxes."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations.boxes import bounds, is_upright_box, rounded
from oil_storage.annotations.record import Annotations, Record


def add_outline(
    annotations: Annotations, file: Path, image: str, class_name: str, points: NDArray[np.float64], place: str
) -> None:
    """Add the bounding box of points ``(N, 2)``; report once for each file that a shape is not an upright box.

    Args:
        annotations: receives the record.
        file: annotation file, which the report counts by.
        image: name of the image, as :meth:`.Annotations.add_image` returned it.
        class_name: class as written.
        points: x and y in pixels; the corners of a box, or points of an outline.
        place: location in the source.
    """
    if not is_upright_box(points):
        problem = f"outline of {len(points)} points, not an axis-aligned box"
        annotations.report_once(file, "outline", place, problem, "its bounding box is used")
    annotations.records.append(Record(image, class_name, rounded(bounds(points)), place))


def turned_rectangle(
    box: tuple[float, float, float, float], degrees: float, pivot: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the corners ``(4, 2)`` of a box xyxy that is turned clockwise, as seen on the screen, around a point."""
    x1, y1, x2, y2 = box
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)
    return corners if not degrees else (corners - pivot) @ turn + pivot


def ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0) -> NDArray[np.float64]:
    """Return the corners ``(4, 2)`` of the bounds of an ellipse whose first axis is turned by ``degrees``."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    width = math.hypot(radii[0] * cosine, radii[1] * sine)
    height = math.hypot(radii[0] * sine, radii[1] * cosine)
    x, y = centre
    return turned_rectangle((x - width, y - height, x + width, y + height), 0, centre)
