"""Polygons on the ground, and the boxes that they become in the images that show them.

The readers of GeoJSON and of other vector files share this module.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform

from oil_storage.annotations.antimeridian import TURN, joined, nearest
from oil_storage.annotations.boxes import bounds, is_upright_box, rounded
from oil_storage.annotations.images import image_size
from oil_storage.annotations.record import NO_CLASS, Annotations, Record
from oil_storage.annotations.source import IMAGE_FOLDERS, Source
from oil_storage.errors import UserError
from oil_storage.georeference import PIXELS, Georeference
from oil_storage.image_file import read_georeference
from oil_storage.scene import CLASS_NAME
from oil_storage.tiling import MIN_VISIBLE

CLASS_KEYS = ("class", "class_name", "classname", "label", "category", "type", "man_made")
"""Properties that contain the class of a feature, in order of precedence. Upper and lower case are the same."""
OWN = ""
"""Stands for raster coordinates where the name of a coordinate system is expected."""
WGS84 = "OGC:CRS84"
MERCATOR = "EPSG:3857"
PIXEL_REASON = "they are pixels"
DEGREES = (TURN, 90)
"""Largest longitude and latitude; a polygon at the antimeridian can have longitudes beyond 180."""


@dataclass(frozen=True)
class Feature:
    """Feature of a vector file.

    Attributes:
        place: location in the file.
        properties: values by name.
        rings: outer ring of each polygon, as a list of positions that start with x and y.
    """

    place: str
    properties: Mapping[str, Any]
    rings: Sequence[list[list[float]]]


@dataclass(frozen=True)
class Polygon:
    """Polygon of a feature; ``ring`` selects the points of its outer ring from :attr:`Layer.points`."""

    place: str
    class_name: str
    score: Any
    ring: slice


@dataclass(frozen=True)
class Raster:
    """Readable image with its georeference."""

    path: Path
    georeference: Georeference
    size: tuple[int, int]


class Layer:
    """All polygons of a file.

    Attributes:
        file: vector file.
        polygons: polygons of the file.
        points: points of all polygons, ``(M, 2)`` in the coordinates of the file.
        crs: coordinate system that the file names; :data:`OWN` for raster coordinates, None if the file names none.
    """

    def __init__(self, file: Path, features: Iterable[Feature], crs: str | None, annotations: Annotations) -> None:
        self.file = file
        self.crs = crs
        self.polygons: list[Polygon] = []
        points: list[list[float]] = []
        for feature in features:
            properties = {name.lower(): value for name, value in feature.properties.items()}
            names = [str(properties[key]) for key in CLASS_KEYS if properties.get(key) not in (None, "")]
            if not names and not annotations.unnamed:
                annotations.unnamed.append(_without_class(feature.properties))
            if not feature.rings:
                annotations.report("no-polygon", feature.place, "has no polygon", "left out")
            rings = joined(list(feature.rings))
            if len(rings) > 1:
                problem = f"has {len(rings)} polygons"
                annotations.report_once(file, "several-polygons", feature.place, problem, "each becomes a box")
            for outer_ring in rings:
                ring = slice(len(points), len(points) + len(outer_ring))
                points += [position[:2] for position in outer_ring]
                name = (names or [NO_CLASS])[0]
                self.polygons.append(Polygon(feature.place, name, properties.get("score"), ring))
        self.points = np.array(points, np.float64).reshape(-1, 2)
        self._transformed = cache(partial(transformed, self.points))

    def crs_for(self, raster: Raster) -> str:
        """Return the coordinate system of the polygons for an image: :data:`OWN` or a name that PROJ accepts.

        Raises:
            UserError: the image has no coordinate system, and the polygons are not in its raster coordinates.
        """
        if raster.georeference.crs is None:
            if self.crs == OWN or (self.crs is None and raster.georeference != PIXELS):
                return OWN
            raise UserError(
                f"{raster.path}: no coordinate system, but {self.file.name} has coordinates in {self.crs or 'WGS 84'}; "
                'georeference the image, or give coordinates in pixels with "crs": null'
            )
        if self.crs is not None:
            return self.crs
        return OWN if (np.abs(self.points) > DEGREES).any() else WGS84

    def in_pixels(self, raster: Raster) -> NDArray[np.float64]:
        """Return all points, ``(M, 2)``, in pixels of an image."""
        source, target = self.crs_for(raster), raster.georeference.crs
        points = self.points if source == OWN or target is None else self._transformed(source, target)
        return _in_pixels(points, raster)

    def shown(self, points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which of the ``S`` polygons an image of ``size`` shows, ``(S,)`` bool.

        A polygon is shown if at least :data:`~oil_storage.tiling.MIN_VISIBLE` of its bounding box is inside the image.
        A polygon without area is shown if it touches the image.
        """
        starts = [polygon.ring.start for polygon in self.polygons]
        low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
        sides = np.minimum(high, size) - np.maximum(low, 0)
        shares = (sides >= 0).all(axis=1) & (sides.prod(axis=1) >= MIN_VISIBLE * (high - low).prod(axis=1))
        return np.asarray(shares, np.bool_)

    def likely_reason(self, rasters: Iterable[Raster]) -> str:
        """Return why images show none of the polygons: the first change of the coordinates that moves them inside."""
        for raster in rasters:
            target = raster.georeference.crs
            for reason, source, points in self._changes(raster):
                moved = points if source is None or target is None else transformed(points, source, target)
                in_pixels = moved if reason == PIXEL_REASON else _in_pixels(moved, raster)
                if np.isfinite(in_pixels).all() and self.shown(in_pixels, raster.size).mean() > MIN_VISIBLE:
                    return f"{reason}, so correct the coordinates, or name their system"
        return "check the crs, and that longitude (or easting) comes first"

    def _changes(self, raster: Raster) -> Iterable[tuple[str, str | None, NDArray[np.float64]]]:
        swapped = self.points[:, ::-1]
        source = self.crs_for(raster) or None
        if self.crs is None and raster.georeference.crs:
            yield "latitude comes first", WGS84, swapped
        yield "northing (or y) comes before easting (or x)", source, swapped
        yield f"they are in {MERCATOR}", MERCATOR, self.points
        yield "they are in WGS 84", WGS84, self.points
        yield "they are in WGS 84, with latitude first", WGS84, swapped
        yield "they are in the coordinates of the image", None, self.points
        yield PIXEL_REASON, None, self.points
        yield "y is negative, as in GIS programs without a georeference", None, self.points * (1, -1)


def rasters_of(source: Source, annotations: Annotations) -> dict[str, Raster]:
    """Add all images of a data set to its annotations; return those that can be read by image name.

    If the data set has a folder ``images``, images elsewhere are left out.
    """
    paths = source.images.paths
    named = [path for path in paths if path.relative_to(source.path).parts[0].lower() in IMAGE_FOLDERS]
    for path in paths if named else ():
        if path not in named:
            problem = f"is outside of {named[0].relative_to(source.path).parts[0]}/"
            annotations.report_once(path.parent, "unlisted-image", str(path), problem, "left out")
    rasters: dict[str, Raster] = {}
    for path in named or paths:
        name = annotations.add_image(path.stem, path, None, str(path))
        if size := image_size(path):
            rasters[name] = Raster(path, read_georeference(path) or PIXELS, size)
            if not rasters[name].georeference.is_exact:
                problem = "only has a camera model (RPC) or rounded corners"
                annotations.report("not-exact", str(path), problem, "boxes may be shifted")
    if not paths:
        raise UserError(f"{source.path}: no image in this folder; put the images of the polygons into it")
    return rasters


def add_boxes(layer: Layer, rasters: Mapping[str, Raster], source: Source, annotations: Annotations) -> None:
    """Add the polygons to the image with the same name as the file, or else to each image that shows them."""
    own_image = source.images.find(layer.file.stem, near=layer.file)
    is_of_one_image = own_image is not None
    if is_of_one_image:
        rasters = {name: raster for name, raster in rasters.items() if raster.path == own_image}
    if not layer.polygons or not rasters:
        return  # the audit reports broken images
    systems = {
        name if raster.georeference == PIXELS else raster.georeference.crs or OWN for name, raster in rasters.items()
    }
    if len(systems) > 1 and any(layer.crs_for(raster) == OWN for raster in rasters.values()):
        raise UserError(
            f"{layer.file}: the coordinates are ambiguous, because the images have {len(systems)} coordinate systems;\n"
            'write a GeoJSON file for each image, with the name of the image, or name the system in its "crs"'
        )
    shown_once = np.zeros(len(layer.polygons), np.bool_)
    for name, raster in rasters.items():
        points = layer.in_pixels(raster)
        shown = layer.shown(points, raster.size)
        shown_once |= shown
        for index in range(len(layer.polygons)) if is_of_one_image else np.flatnonzero(shown):
            polygon = layer.polygons[index]
            ring = points[polygon.ring]
            if not is_upright_box(ring):
                problem = "polygon is not an axis-aligned box in pixels"
                annotations.report_once(layer.file, "outline", polygon.place, problem, "its bounding box is used")
            annotations.records.append(Record(name, polygon.class_name, rounded(bounds(ring)), polygon.place))
    if not shown_once.any():
        x, y = layer.points[0].tolist()
        image = f"{own_image} shows none" if is_of_one_image else "no image shows any"
        raise UserError(
            f"{layer.file}: {image} of the {len(layer.polygons)} polygons, the first of which is at ({x:g}, {y:g}); "
            f"{layer.likely_reason(rasters.values())}"
        )
    for index in np.flatnonzero(~shown_once) if not is_of_one_image else ():
        polygon = layer.polygons[index]
        x, y = layer.points[polygon.ring.start].tolist()
        problem = f"no image shows at least {MIN_VISIBLE:.0%} of the polygon at ({x:g}, {y:g})"
        annotations.report("in-no-scene", polygon.place, problem, "left out")


def transformed(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """Transform points ``(N, 2)``, x or longitude first, from one coordinate system to another.

    Points that are not on the globe, or outside the valid area of a system, become infinite.
    """
    is_on_globe = np.isfinite(points).all(axis=1)
    if CRS.from_user_input(source).is_geographic:
        is_on_globe &= (np.abs(points) <= DEGREES).all(axis=1)
    moved = np.full(points.shape, np.inf)
    if is_on_globe.any():
        moved[is_on_globe] = _moved(points[is_on_globe], source, target)
    return moved


def _moved(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """Transform points ``(N, 2)``; for some systems, GDAL refuses all points because of a single one."""
    from rasterio._err import CPLE_BaseError

    try:
        return np.array(transform(source, target, *points.T)).T
    except CPLE_BaseError:  # a point is outside the valid area of a system
        if len(points) == 1:
            return np.full((1, 2), np.inf)
        return np.concatenate([_moved(part, source, target) for part in np.array_split(points, 2)])


def _in_pixels(points: NDArray[np.float64], raster: Raster) -> NDArray[np.float64]:
    georeference = raster.georeference
    if georeference.is_geographic:  # the image can extend beyond 180 degrees
        centre = georeference.to_world(np.array([raster.size]) / 2)[0, 0]
        points = np.column_stack([nearest(points[:, 0], centre), points[:, 1]])
    return georeference.to_pixels(points)


def _without_class(properties: Mapping[str, Any]) -> str:
    """Describe a feature without a class, and how to give it one."""
    found = ", ".join(properties) or "none"
    texts = [name for name, value in properties.items() if isinstance(value, str)]
    keys = f"{', '.join(CLASS_KEYS[:-1])} or {CLASS_KEYS[-1]}"
    problem = f"no class, because no property is called {keys} (properties: {found})"
    if texts:
        return f"{problem}; rename the one with the class to 'class'"
    return f"{problem}; if all are tanks, --class-map {NO_CLASS}={CLASS_NAME}"
