"""Helpers for box coordinates: bounds, corners and number formatting."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UPRIGHT_TOLERANCE = 0.5
"""Maximum distance in pixels, along x and along y, from a corner of an axis-aligned box to the nearest point."""
PLACES = 2
"""Decimal places of pixel coordinates that were converted from normalized or geographic coordinates."""


def bounds(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return the xyxy bounds of points ``(N, 2)``; NaN values propagate."""
    x1, y1 = points.min(axis=0).tolist()
    x2, y2 = points.max(axis=0).tolist()
    return x1, y1, x2, y2


def is_upright_box(points: NDArray[np.float64]) -> bool:
    """Return whether points ``(N, 2)`` form an axis-aligned box, with a point close to each corner of their bounds."""
    distances = np.abs(corners(bounds(points))[:, None] - points[None]).max(axis=2).min(axis=1)
    return bool((distances <= UPRIGHT_TOLERANCE).all())


def corners(box: Sequence[float]) -> NDArray[np.float64]:
    """Return the corners ``(4, 2)`` of a box xyxy, clockwise as seen on the screen."""
    x1, y1, x2, y2 = box
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)


def rings(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of boxes ``(N, 4)`` as closed rings of five points, ``(5 * N, 2)``."""
    return boxes[:, [0, 1, 0, 3, 2, 3, 2, 1, 0, 1]].reshape(-1, 2)


def rounded(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Round a box to :data:`PLACES`, so that numerical noise does not move it beyond the image border."""
    x1, y1, x2, y2 = (round(value, PLACES) for value in box)
    return x1, y1, x2, y2


def shortest(boxes: NDArray[np.float32]) -> list[list[float]]:
    """Convert float32 boxes to the shortest equivalent floats: 0.1, not 0.100000001490116."""
    return [[float(str(value)) for value in box] for box in boxes]


def plain_text(value: float) -> str:
    """Format a number without exponent or trailing zeros: ``12``, ``12.5``."""
    return np.format_float_positional(value, trim="-")
