"""Read where an image lies on the ground."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIFF_SUFFIXES = (".tif", ".tiff")
LARGEST_MISS = 1.0
"""Largest error, in pixels, that an affine map through ground control points may have at any of them."""

Resolution = tuple[float, float]
"""Metres of ground per pixel, along a row and along a column."""


@dataclass(frozen=True)
class Georeference:
    """Affine map from pixels to the coordinates of a raster.

    Pixel coordinates start at the outer corner of the first pixel, as box coordinates do.

    Attributes:
        crs: authority code (``EPSG:32631``), or WKT for a system without a code; None if the raster has no
            terrestrial coordinate system.
        transform: ``(a, b, c, d, e, f)``, invertible: ``x = a * column + b * row + c, y = d * column + e * row + f``.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]

    def to_world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coordinates ``(N, 2)`` of pixel positions ``(N, 2)``, column first."""
        linear, offset = self._parts()
        return points @ linear.T + offset

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixel positions of coordinates; the inverse of :meth:`to_world`."""
        linear, offset = self._parts()
        with np.errstate(invalid="ignore"):  # points that are not finite stay so
            return (points - offset) @ np.linalg.inv(linear).T

    def _parts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b, c, d, e, f = self.transform
        return np.array([[a, b], [d, e]]), np.array([c, f])


PIXELS = Georeference(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
"""Pixel coordinates, for an image that is not georeferenced."""


def georeference_of(raster: Any) -> Georeference | None:
    """Return the georeference of a raster that rasterio has opened; None if its file has none.

    The georeference comes from the file itself, from a world file (``.tfw``), or from at least three ground control
    points if an affine map fits all of them within :data:`LARGEST_MISS` pixels.
    """
    crs, transform = raster.crs, raster.transform
    if transform.is_identity and len(raster.gcps[0]) >= 3:
        crs, transform = raster.gcps[1], _affine_through(raster.gcps[0])
    if transform is None or transform.is_identity or transform.is_degenerate:
        return None
    is_terrestrial = crs is not None and (crs.is_projected or crs.is_geographic)
    return Georeference(crs.to_string() if is_terrestrial else None, tuple(transform)[:6])


def _affine_through(points: Sequence[Any]) -> Any:
    """Fit an affine map to ground control points; return None if the fit is poor or not unique."""
    from rasterio.transform import from_gcps

    affine = from_gcps(points)
    if affine.is_degenerate:
        return None
    pixels = Georeference(None, tuple(affine)[:6]).to_pixels(np.array([(point.x, point.y) for point in points]))
    errors = pixels - np.array([(point.col, point.row) for point in points])
    return affine if np.hypot(*errors.T).max() <= LARGEST_MISS else None


def resolution_of(georeference: Georeference | None, width: int, height: int) -> Resolution | None:
    """Measure the ground that one pixel covers at the centre of a scene; return None if its location is unknown.

    The result is in metres on the ground for every coordinate system, including systems in degrees and projections that
    distort distances, such as Web Mercator.
    """
    if georeference is None or georeference.crs is None:
        return None
    from rasterio._err import CPLE_BaseError
    from rasterio.warp import transform

    x, y = width / 2, height / 2
    points = georeference.to_world(np.array([(x, y), (x + 1, y), (x, y + 1)]))
    try:
        geocentric = np.array(transform(georeference.crs, "EPSG:4978", *points.T, np.zeros(3)))  # metres
    except CPLE_BaseError:  # the coordinates lie outside the system
        return None
    metres = np.linalg.norm(geocentric[:, 1:] - geocentric[:, :1], axis=0)
    return (float(metres[0]), float(metres[1])) if np.isfinite(metres).all() else None


def sidecars(path: Path) -> list[Path]:
    """Return the files next to a TIFF that may hold its georeference."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return []
    world = [path.with_suffix(f".{ending}") for ending in ("tfw", "TFW", "tifw", "TIFW", "wld", "WLD")]
    return [file for file in (*world, path.with_name(f"{path.name}.aux.xml")) if file.is_file()]
