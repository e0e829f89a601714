"""Coordinates without digits that mean nothing."""

import numpy as np
from numpy.typing import NDArray

PLACES = 2
"""Hundredths of a pixel: what follows is noise where shares of an image, or places on earth, became pixels."""


def rounded(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box that was calculated, to :data:`PLACES`, so that one that ends at the border does not end beyond it."""
    x1, y1, x2, y2 = box
    return round(x1, PLACES), round(y1, PLACES), round(x2, PLACES), round(y2, PLACES)


def decimals(boxes: NDArray[np.float32]) -> list[tuple[float, float, float, float]]:
    """The shortest number that reads back as the same float32: 0.1, where the float32 is 0.100000001490116."""
    return [(float(str(x1)), float(str(y1)), float(str(x2)), float(str(y2))) for x1, y1, x2, y2 in boxes]


def text(value: float) -> str:
    """A number without exponent or needless zeros: ``12``, ``12.5``."""
    return np.format_float_positional(value, trim="-")
