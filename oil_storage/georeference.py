"""Read the location and the ground resolution of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError

LARGEST_MISS = 1.0
"""Largest accepted error, in pixels, of an affine map that is fitted to ground control points."""
APPENDED = (".aux.xml", ".ovr", ".msk")
"""Endings that GDAL appends to the name of an image, for its metadata, overviews and mask."""

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
        is_exact: False if the raster has a camera model (RPC), so that it is not orthorectified, or if the file rounds
            the coordinates of its corners.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]
    is_exact: bool = True

    @property
    def is_geographic(self) -> bool:
        """Whether world coordinates are longitude and latitude."""
        from rasterio.crs import CRS

        return self.crs is not None and CRS.from_user_input(self.crs).is_geographic

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

    The georeference is stored in the file or in its :func:`sidecars`. If there are only ground control points, an
    affine map is fitted to them. They are ignored if there are fewer than three points, or if the error at a point is
    larger than :data:`LARGEST_MISS` pixels. If there are only rational polynomial coefficients (RPC), an affine map is
    fitted to them at their mean height.

    Raises:
        UserError: the RPC, or the ``.prj`` file beside the raster, are damaged.
    """
    crs, transform, has_model = raster.crs, raster.transform, bool(raster.tags(ns="RPC"))
    if transform.is_identity and len(raster.gcps[0]) >= 3:
        crs, transform = raster.gcps[1], _affine_through(raster.gcps[0])
    if has_model and (transform is None or transform.is_identity):
        crs, transform = _affine_of_model(raster)
    if transform is None or transform.is_identity or transform.is_degenerate:
        return None
    crs = crs or _crs_beside(Path(raster.name))
    is_terrestrial = crs is not None and (crs.is_projected or crs.is_geographic)
    is_rounded = raster.tags().get("NITF_ICORDS") in ("D", "G") and "NITF_BLOCKA_BLOCK_COUNT" not in raster.tags()
    is_exact = not (has_model or is_rounded)
    return Georeference(crs.to_string() if is_terrestrial else None, tuple(transform)[:6], is_exact)


def _affine_through(points: Sequence[Any]) -> Any:
    """Fit an affine map to ground control points; return None if the fit is poor or not unique."""
    from rasterio.transform import from_gcps

    affine = from_gcps(points)
    if affine.is_degenerate:
        return None
    pixels = Georeference(None, tuple(affine)[:6]).to_pixels(np.array([(point.x, point.y) for point in points]))
    errors = pixels - np.array([(point.col, point.row) for point in points])
    return affine if np.hypot(*errors.T).max() <= LARGEST_MISS else None


def _affine_of_model(raster: Any) -> tuple[Any, Any]:
    """Return the coordinate system and an affine approximation of rational polynomial coefficients.

    Raises:
        UserError: the coefficients are damaged.
    """
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS
    from rasterio.transform import RPCTransformer, from_gcps

    places = list(product(np.linspace(0, raster.height, 5), np.linspace(0, raster.width, 5)))
    try:
        with RPCTransformer(raster.rpcs, rpc_height=raster.rpcs.height_off) as model:
            longitudes, latitudes = model.xy(*zip(*places, strict=True), offset="ul")
        ground = zip(places, np.unwrap(longitudes, period=360), latitudes, strict=True)
        return CRS.from_epsg(4326), from_gcps([GroundControlPoint(*place, x, y) for place, x, y in ground])
    except Exception as error:  # GDAL's errors have no public base class
        raise UserError(f"{raster.name}: damaged RPC ({error}); replace or remove them") from error


def _crs_beside(path: Path) -> Any:
    """Return the coordinate system in the ``.prj`` file beside a raster, which GDAL does not read; None if absent."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    for file in (path.with_suffix(".prj"), path.with_suffix(".PRJ")):
        if file.is_file():
            try:
                return CRS.from_wkt(file.read_text(errors="replace"), morph_from_esri_dialect=True)
            except CRSError as error:
                raise UserError(f"{file}: not a coordinate system in WKT; replace or remove it") from error
    return None


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


def sidecar_endings(suffix: str) -> list[str]:
    """Return what replaces a suffix such as ``.jpg`` in the names of files that describe an image.

    These files are world files, coordinate systems, rational polynomial coefficients and parts of ERDAS images.
    """
    world = [f".{suffix[1:2]}{suffix[-1:]}w", f"{suffix}w", ".wld"]
    return [*world, ".prj", ".tab", ".rpb", "_rpc.txt", ".ige", ".rrd", f"{suffix}.xml"]


def sidecars(path: Path) -> list[Path]:
    """Return the existing files next to an image that can contain its georeference or parts of it."""
    endings = [form for ending in sidecar_endings(path.suffix) for form in (ending, ending.lower(), ending.upper())]
    names = [path.stem + ending for ending in endings] + [path.name + ending for ending in APPENDED]
    beside = map(path.with_name, dict.fromkeys(names))
    return [file for file in beside if file.is_file()]
