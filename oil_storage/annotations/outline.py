"""Outlines as annotation files draw them: polygons and turned boxes, of which the bounds are read."""

import numpy as np
from numpy.typing import NDArray

UPRIGHT_TOLERANCE = 0.5
"""Pixels that the corners of an upright box may be off."""


def bounds(points: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The xyxy bounds of ``(N, 2)`` points; NaN where a point has NaN."""
    x1, y1 = points.min(axis=0).tolist()
    x2, y2 = points.max(axis=0).tolist()
    return x1, y1, x2, y2


def is_upright_box(points: NDArray[np.float64]) -> bool:
    """Whether ``(N, 2)`` points in pixels have one close to each corner of their bounds."""
    x1, y1, x2, y2 = bounds(points)
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    off = np.abs(corners[:, None] - points[None]).max(axis=2).min(axis=1)
    return bool((off <= UPRIGHT_TOLERANCE).all())
