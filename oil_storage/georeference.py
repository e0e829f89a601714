"""Where an image lies on the ground."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIFF_SUFFIXES = (".tif", ".tiff")
LARGEST_MISS = 1.0
"""Largest distance, in pixels, between a ground control point and its place by the affine map."""
SEMI_MAJOR, ECCENTRICITY_SQUARED = 6_378_137.0, 0.00669437999014
"""The ellipsoid of WGS 84, metres."""

Resolution = tuple[float, float]
"""Metres of ground per pixel, along a row and along a column."""


@dataclass(frozen=True)
class Georeference:
    """Affine map from pixels to the coordinates of a raster.

    Pixel coordinates count from the outer corner of the first pixel, as those of boxes do.

    Attributes:
        crs: ``EPSG:32631``, or WKT without such a code; None if the raster has no coordinate system of the earth.
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
        with np.errstate(invalid="ignore"):  # what is not finite stays so
            return (points - offset) @ np.linalg.inv(linear).T

    def _parts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b, c, d, e, f = self.transform
        return np.array([[a, b], [d, e]]), np.array([c, f])


PIXELS = Georeference(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
"""Pixel coordinates, for an image that is not georeferenced."""


def georeference_of(raster: Any) -> Georeference | None:
    """Return where a raster, opened by rasterio, lies; None if its file does not say.

    World files (``.tfw``) count. So do three or more ground control points, if an affine map meets them within a pixel.
    """
    crs, transform = raster.crs, raster.transform
    if transform.is_identity and len(raster.gcps[0]) >= 3:
        crs, transform = raster.gcps[1], _affine_through(raster.gcps[0])
    if transform is None or transform.is_identity or transform.is_degenerate:
        return None
    is_of_the_earth = crs is not None and (crs.is_projected or crs.is_geographic)
    return Georeference(crs.to_string() if is_of_the_earth else None, tuple(transform)[:6])


def _affine_through(points: Sequence[Any]) -> Any:
    """Return the affine map that meets ground control points; None if there is none."""
    from rasterio.transform import Affine

    pixels = np.array([(point.col, point.row, 1.0) for point in points])
    world = np.array([(point.x, point.y) for point in points])
    if not (np.isfinite(pixels).all() and np.isfinite(world).all()):
        return None
    solution, _, rank, _ = np.linalg.lstsq(pixels, world)
    affine = Affine(*solution.T.ravel().tolist())
    if rank < 3 or affine.is_degenerate:
        return None
    errors = Georeference(None, tuple(affine)[:6]).to_pixels(world) - pixels[:, :2]
    return affine if np.hypot(*errors.T).max() <= LARGEST_MISS else None


def resolution_of(georeference: Georeference | None, width: int, height: int) -> Resolution | None:
    """Measure the ground that a pixel covers at the centre of a scene; None if its place on earth is not known.

    Units are metres of the ground in any coordinate system, also in degrees or in a projection that stretches, as Web
    Mercator.
    """
    if georeference is None or georeference.crs is None:
        return None
    from rasterio.warp import transform

    x, y = width / 2, height / 2
    points = georeference.to_world(np.array([(x, y), (x + 1, y), (x, y + 1)]))
    longitudes, latitudes = np.radians(transform(georeference.crs, "OGC:CRS84", points[:, 0], points[:, 1]))
    east = (longitudes[1:] - longitudes[0] + np.pi) % (2 * np.pi) - np.pi  # also across the date line
    north = latitudes[1:] - latitudes[0]
    bulge = np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(latitudes[0]) ** 2)
    metres = np.hypot(
        east * np.cos(latitudes[0]) * SEMI_MAJOR / bulge,
        north * SEMI_MAJOR * (1 - ECCENTRICITY_SQUARED) / bulge**3,
    )
    return (float(metres[0]), float(metres[1])) if np.isfinite(metres).all() else None


def sidecars(path: Path) -> list[Path]:
    """Return the files beside a TIFF from which its georeference may come."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return []
    world = [path.with_suffix(f".{ending}") for ending in ("tfw", "TFW", "tifw", "TIFW", "wld", "WLD")]
    return [file for file in (*world, path.with_name(f"{path.name}.aux.xml")) if file.is_file()]
