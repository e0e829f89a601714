"""Bounding boxes in degrees, and the parts of scenes inside them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations.polygons import WGS84, transformed
from oil_storage.georeference import Georeference

POINTS = 33
"""Number of points along each side of a scene or box, because their sides can be curves in the other system."""


class BoundingBox(NamedTuple):
    """Bounding box in degrees, WGS 84. If ``west`` is greater than ``east``, the box crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def __str__(self) -> str:
        return ",".join(f"{side:.10g}" for side in self)

    def window(self, georeference: Georeference, width: int, height: int) -> NDArray[np.int64] | None:
        """Return the smallest window of a scene that contains its part in the box, ``(4,)`` xyxy in whole pixels.

        Return None if the scene is outside the box.

        Raises:
            ValueError: see :func:`extent_of`.
        """
        extent = extent_of(georeference, width, height)
        part = self._common(extent)
        if part is None:
            return None
        assert georeference.crs
        world = transformed(border(*part), WGS84, georeference.crs)
        middle = georeference.to_world(np.array([[width / 2, height / 2]]))
        if _is_in_degrees(georeference.crs):  # the raster may count longitudes from -180, 0 or beyond 180 degrees
            world[:, 0] -= 360 * np.round((world[:, 0] - middle[0, 0]) / 360)
        pixels = georeference.to_pixels(world)
        pixels = pixels[np.isfinite(pixels).all(axis=1)]
        if not len(pixels):
            return None
        low, high = np.floor(pixels.min(axis=0) + 1e-6), np.ceil(pixels.max(axis=0) - 1e-6)
        window = np.clip(np.concatenate([low, high]), 0, [width, height] * 2).astype(np.int64)
        return window if (window[2:] > window[:2]).all() else None

    def _common(self, extent: "BoundingBox") -> tuple[float, float, float, float] | None:
        """Return the bounds of the common part with an extent, which may exceed 180 degrees; None if there is none."""
        south, north = max(self.south, extent.south), min(self.north, extent.north)
        east = self.east + 360 * (self.west > self.east)
        parts = [
            (max(self.west + turn, extent.west), min(east + turn, extent.east)) for turn in (-720, -360, 0, 360, 720)
        ]
        parts = [(start, end) for start, end in parts if start < end]
        if not parts or south >= north:
            return None
        return parts[0][0], south, parts[-1][1], north


def extent_of(georeference: Georeference, width: int, height: int) -> BoundingBox:
    """Return the extent of a scene. East is greater than west, also if the scene crosses the antimeridian.

    Raises:
        ValueError: the scene has no coordinate system, or its coordinates are not valid in the system.
    """
    from rasterio._err import CPLE_BaseError

    if georeference.crs is None:
        raise ValueError("the georeference names no coordinate system")
    try:
        degrees = transformed(georeference.to_world(border(0, 0, width, height)), georeference.crs, WGS84)
    except CPLE_BaseError as error:
        raise ValueError(f"the coordinates are not valid in {georeference.crs}") from error
    degrees = degrees[np.isfinite(degrees).all(axis=1)]
    if not len(degrees):
        raise ValueError(f"the coordinates are not valid in {georeference.crs}")
    first = degrees[0, 0]
    degrees[:, 0] = first + (degrees[:, 0] - first + 180) % 360 - 180
    (west, south), (east, north) = degrees.min(axis=0).tolist(), degrees.max(axis=0).tolist()
    return BoundingBox(west, south, east, north)


def border(x1: float, y1: float, x2: float, y2: float) -> NDArray[np.float64]:
    """Return points on the border of a box, ``(4 * POINTS, 2)``."""
    steps = np.linspace(0, 1, POINTS)
    x, y = x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps
    sides = [(x, np.full(POINTS, y1)), (x, np.full(POINTS, y2)), (np.full(POINTS, x1), y), (np.full(POINTS, x2), y)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _is_in_degrees(crs: str) -> bool:
    from rasterio.crs import CRS

    return bool(CRS.from_user_input(crs).is_geographic)
