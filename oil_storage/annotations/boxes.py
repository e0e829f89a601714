"""Coordinates of boxes: bounds of outlines, and numbers without digits that mean nothing."""

import numpy as np
from numpy.typing import NDArray

UPRIGHT_TOLERANCE = 0.5
"""Pixels that the corners of an upright box may be off."""
PLACES = 2
"""Decimal places of pixels that were shares of an image or positions on earth; further digits are noise."""


def bounds(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return the xyxy bounds of ``(N, 2)`` points; NaN where a point has NaN."""
    x1, y1 = points.min(axis=0).tolist()
    x2, y2 = points.max(axis=0).tolist()
    return x1, y1, x2, y2


def is_upright_box(points: NDArray[np.float64]) -> bool:
    """Return whether each corner of the bounds of ``(N, 2)`` points in pixels has a point close to it."""
    x1, y1, x2, y2 = bounds(points)
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    distances = np.abs(corners[:, None] - points[None]).max(axis=2).min(axis=1)
    return bool((distances <= UPRIGHT_TOLERANCE).all())


def rings(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of boxes ``(N, 4)``, five points a box, the first again at the end, as ``(5 * N, 2)``."""
    return boxes[:, [0, 1, 0, 3, 2, 3, 2, 1, 0, 1]].reshape(-1, 2)


def rounded(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Round a box to :data:`PLACES`, so that one that ends at the border does not end beyond it."""
    x1, y1, x2, y2 = box
    return round(x1, PLACES), round(y1, PLACES), round(x2, PLACES), round(y2, PLACES)


def shortest(boxes: NDArray[np.float32]) -> list[list[float]]:
    """Return the shortest numbers that read back as the same float32: 0.1, not 0.100000001490116."""
    return [[float(str(value)) for value in box] for box in boxes]


def plain_text(value: float) -> str:
    """Write a number without exponent or needless zeros: ``12``, ``12.5``."""
    return np.format_float_positional(value, trim="-")
