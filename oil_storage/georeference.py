"""Read the location and the ground resolution of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIFF_SUFFIXES = (".tif", ".tiff")
LARGEST_MISS = 1.0
"""Largest accepted error, in pixels, of an affine map that is fitted to ground control points."""

Resolution = tuple[float, float]
"""Ground resolution in metres per pixel, along x (a row of pixels) and along y (a column)."""


@dataclass(frozen=True)
class Georeference:
    """Affine map from pixels of a raster to world coordinates.

    The origin of pixel coordinates is the outer corner of the first pixel, as for boxes.

    Attributes:
        crs: coordinate system, as an authority code (``EPSG:32631``) or, if it has no code, as WKT; None if the raster
            has no geographic or projected coordinate system.
        transform: ``(a, b, c, d, e, f)``, invertible: ``x = a * column + b * row + c, y = d * column + e * row + f``.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]

    def to_world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert pixel positions ``(N, 2)``, column first, to world coordinates ``(N, 2)``."""
        linear, offset = self._parts()
        return points @ linear.T + offset

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert world coordinates ``(N, 2)`` to pixel positions ``(N, 2)``, column first."""
        linear, offset = self._parts()
        with np.errstate(invalid="ignore"):  # points can be infinite or NaN
            return (points - offset) @ np.linalg.inv(linear).T

    def _parts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b, c, d, e, f = self.transform
        return np.array([[a, b], [d, e]]), np.array([c, f])


PIXELS = Georeference(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
"""Identity map, for an image that is not georeferenced."""


def georeference_of(raster: Any) -> Georeference | None:
    """Return the georeference of a raster that rasterio has opened; None if there is none.

    The georeference is stored in the file or in a world file (``.tfw``). If the file has only ground control points, an
    affine map is fitted to them. The result is None if there are fewer than three points, or if the error at a point is
    larger than :data:`LARGEST_MISS` pixels.
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
    """Measure the ground resolution at the centre of a scene; return None without a valid georeference.

    The result is in metres on the ground, also for coordinates in degrees and for projections that distort distances,
    such as Web Mercator.
    """
    if georeference is None or georeference.crs is None:
        return None
    from rasterio._err import CPLE_BaseError
    from rasterio.warp import transform

    x, y = width / 2, height / 2
    points = georeference.to_world(np.array([(x, y), (x + 1, y), (x, y + 1)]))
    try:
        geocentric = np.array(transform(georeference.crs, "EPSG:4978", *points.T, np.zeros(3)))  # metres
    except CPLE_BaseError:  # the coordinates are outside the valid area of the system
        return None
    metres = np.linalg.norm(geocentric[:, 1:] - geocentric[:, :1], axis=0)
    return (float(metres[0]), float(metres[1])) if np.isfinite(metres).all() else None


def sidecars(path: Path) -> list[Path]:
    """Return the existing files next to a TIFF that can contain its georeference, such as world files."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return []
    world = [path.with_suffix(f".{ending}") for ending in ("tfw", "TFW", "tifw", "TIFW", "wld", "WLD")]
    return [file for file in (*world, path.with_name(f"{path.name}.aux.xml")) if file.is_file()]
