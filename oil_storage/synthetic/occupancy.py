"""Which ground is taken."""

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.synthetic.geometry import Array

_CELL = 4  # px of the scene per cell of the map
_BORDER = 64  # cells around the scene, free: things may hang over the border


class Occupancy:
    """A map of the taken ground at a quarter of the scene's resolution.

    Attributes:
        size: side of the scene in px.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        side = -(-size // _CELL) + 2 * _BORDER
        self._taken = np.zeros((side, side), np.uint8)

    def _stencil(self, outline: Array) -> tuple[tuple[slice, slice], NDArray[np.uint8]] | None:
        points = np.round(outline / _CELL + _BORDER).astype(np.int32)
        low, high = points.min(axis=0), points.max(axis=0) + 1
        if (low < 0).any() or (high > len(self._taken)).any():
            return None
        stencil = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(stencil, [points - low], 1)
        return (slice(low[1], high[1]), slice(low[0], high[0])), stencil

    def is_free(self, outline: Array) -> bool:
        """Whether no taken ground lies within ``outline`` ``(n, 2)``; False beyond the map."""
        found = self._stencil(outline)
        return found is not None and not (self._taken[found[0]] & found[1]).any()

    def take(self, outline: Array) -> None:
        """Take the ground within ``outline`` ``(n, 2)``."""
        found = self._stencil(outline)
        if found is not None:
            self._taken[found[0]] |= found[1]

    def take_where(self, mask: NDArray[np.bool_]) -> None:
        """Take what a mask of any resolution over the scene marks."""
        side = len(self._taken) - 2 * _BORDER
        scaled = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
        self._taken |= np.pad(scaled, _BORDER, mode="edge")
