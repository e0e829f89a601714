"""Where an image lies on the ground."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasterio.control import GroundControlPoint
    from rasterio.transform import Affine

TIFF_SUFFIXES = (".tif", ".tiff")
LARGEST_MISS = 1.0
"""Pixels by which a raster's place may miss a ground control point."""


SEMI_MAJOR, ECCENTRICITY_SQUARED = 6_378_137.0, 0.00669437999014
"""The ellipsoid of WGS 84, metres."""

Resolution = tuple[float, float]
"""Metres of ground per pixel, along a row and along a column."""


@dataclass(frozen=True)
class Georeference:
    """The way from pixels to the coordinates of a raster.

    Pixel coordinates count from the outer corner of the first pixel, as those of boxes do.

    Attributes:
        crs: ``EPSG:32631``, or WKT where there is no such code; None where the raster names no
            coordinate system of the earth's.
        transform: ``(a, b, c, d, e, f)``, invertible: ``x = a * column + b * row + c, y = d * column + e * row + f``.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]

    def to_world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates ``(N, 2)`` of pixel positions ``(N, 2)``, column first."""
        linear, offset = self._parts()
        return points @ linear.T + offset

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of :meth:`to_world`."""
        linear, offset = self._parts()
        with np.errstate(invalid="ignore"):  # what is not finite stays so
            return (points - offset) @ np.linalg.inv(linear).T

    def _parts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b, c, d, e, f = self.transform
        return np.array([[a, b], [d, e]]), np.array([c, f])


PIXELS = Georeference(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
"""The own coordinates of an image that is not georeferenced."""


def georeference_of(raster: Any) -> Georeference | None:
    """Return where an open raster lies; None where it does not say.

    A world file (``.tfw``) counts, and so do three or more ground control points that an affine map meets within a
    pixel; others say nothing.

    Args:
        raster: opened by rasterio.
    """
    crs, transform = raster.crs, raster.transform
    if transform.is_identity and len(raster.gcps[0]) >= 3:
        crs, transform = raster.gcps[1], _affine_through(raster.gcps[0])
    if transform.is_identity or transform.is_degenerate:
        return None
    is_of_the_earth = crs is not None and (crs.is_projected or crs.is_geographic)
    return Georeference(crs.to_string() if is_of_the_earth else None, tuple(transform)[:6])


def _affine_through(points: "Sequence[GroundControlPoint]") -> "Affine":
    """The affine map that meets ground control points best; the identity where they ask for another, or for none."""
    from rasterio.transform import Affine

    seen = np.array([(point.col, point.row, 1.0) for point in points])
    placed = np.array([(point.x, point.y) for point in points])
    if not (np.isfinite(seen).all() and np.isfinite(placed).all()):
        return Affine.identity()
    solution, _, rank, _ = np.linalg.lstsq(seen, placed)
    found = Affine(*solution.T.ravel().tolist())
    if rank < 3 or found.is_degenerate:
        return Affine.identity()
    missed = Georeference(None, tuple(found)[:6]).to_pixels(placed) - seen[:, :2]
    return found if np.hypot(*missed.T).max() <= LARGEST_MISS else Affine.identity()


def resolution_of(place: Georeference | None, width: int, height: int) -> Resolution | None:
    """Measure how much ground a pixel shows at the centre of a scene, in any coordinate system.

    Degrees are metres at that latitude, and the metres of a projection that stretches (Web Mercator does, twofold at
    60 degrees) are those of the ground.

    Returns:
        Resolution | None: None where the scene does not say where on earth it lies.
    """
    if place is None or place.crs is None:
        return None
    from rasterio.warp import transform

    x, y = width / 2, height / 2
    points = place.to_world(np.array([(x, y), (x + 1, y), (x, y + 1)]))
    longitudes, latitudes = np.radians(transform(place.crs, "OGC:CRS84", points[:, 0], points[:, 1]))
    east = (longitudes[1:] - longitudes[0] + np.pi) % (2 * np.pi) - np.pi  # also across the date line
    north = latitudes[1:] - latitudes[0]
    bulge = np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(latitudes[0]) ** 2)
    metres = np.hypot(
        east * np.cos(latitudes[0]) * SEMI_MAJOR / bulge,
        north * SEMI_MAJOR * (1 - ECCENTRICITY_SQUARED) / bulge**3,
    )
    return (float(metres[0]), float(metres[1])) if np.isfinite(metres).all() else None


def sidecars(path: Path) -> list[Path]:
    """The files beside a TIFF from which its georeference may come."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return []
    world = [path.with_suffix(f".{ending}") for ending in ("tfw", "TFW", "tifw", "TIFW", "wld", "WLD")]
    return [file for file in (*world, path.with_name(f"{path.name}.aux.xml")) if file.is_file()]
