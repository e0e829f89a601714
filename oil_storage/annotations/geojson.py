"""GeoTIFF scenes with boxes in GeoJSON.

Raster coordinates are in the coordinate system of the image, or in pixels if the image is not georeferenced. Without a
``crs`` member, coordinates are WGS 84 longitude and latitude (RFC 7946), with two exceptions. They are raster
coordinates if a value is out of range for longitude or latitude, or if the image has a world file but no coordinate
system. A ``crs`` member, as in GDAL and in the GeoJSON specification of 2008, names the coordinate system. The member
``"crs": null`` means raster coordinates.

Source: https://www.rfc-editor.org/rfc/rfc7946, https://geojson.org/geojson-spec.html#coordinate-reference-system-objects
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, FailFast, Field, StrictFloat
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from oil_storage.annotations.antimeridian import cut, joined, nearest
from oil_storage.annotations.boxes import bounds, is_upright_box, rings, rounded, shortest
from oil_storage.annotations.images import image_files, image_size
from oil_storage.annotations.record import Annotations, Record
from oil_storage.errors import UserError
from oil_storage.files import json_text, read_json, validated, visible
from oil_storage.georeference import PIXELS, Georeference
from oil_storage.imagery import read_georeference
from oil_storage.scene import CLASS_NAME, Scene
from oil_storage.tiling import MIN_VISIBLE

IMAGES = "images"
CLASS_KEYS = ("class", "class_name", "label", "category")
"""Properties that contain the class of a feature, in order of precedence."""
NO_CLASS = "unnamed"
"""Class of a feature without such a property."""
OWN = ""
"""Stands for raster coordinates where the name of a coordinate system is expected."""
WGS84 = "OGC:CRS84"

Position = Annotated[list[StrictFloat], Field(min_length=2)]
Rings = Annotated[list[Annotated[list[Position], Field(min_length=4)]], Field(min_length=1)]


def _polygons(geometry: Any) -> Any:
    """Return the unvalidated coordinates of each polygon of a Polygon or MultiPolygon; otherwise an empty list."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "Polygon":
        return [geometry.get("coordinates")]
    return geometry.get("coordinates") if kind == "MultiPolygon" else []


class _Feature(BaseModel):
    properties: Any = None
    polygons: Annotated[list[Rings], BeforeValidator(_polygons), Field(alias="geometry")] = []


class _FeatureCollection(BaseModel):
    type: Literal["FeatureCollection"]
    features: Annotated[list[_Feature], FailFast()]
    crs: Any = None


@dataclass(frozen=True)
class _Shape:
    """Polygon of a feature; ``ring`` selects the points of its outer ring from :attr:`_Layer.points`."""

    place: str
    class_name: str
    score: Any
    ring: slice


@dataclass(frozen=True)
class _Raster:
    """Readable image with its georeference."""

    path: Path
    georeference: Georeference
    size: tuple[int, int]


class _Layer:
    """All polygons of a file.

    Attributes:
        file: GeoJSON file.
        shapes: polygons of the file.
        points: points of all polygons, ``(M, 2)`` in the coordinates of the file.
        crs: coordinate system that the file names; :data:`OWN` for raster coordinates, None if the file has no ``crs``.
    """

    def __init__(self, file: Path, annotations: Annotations) -> None:
        content = validated(read_json(file), _FeatureCollection, file)
        self.file = file
        self.crs = _named_crs(content.crs, file) if "crs" in content.model_fields_set else None
        self.shapes: list[_Shape] = []
        points: list[list[float]] = []
        for index, feature in enumerate(content.features):
            place = f"{file}: features[{index}]"
            properties = feature.properties if isinstance(feature.properties, dict) else {}
            names = [str(properties[key]) for key in CLASS_KEYS if properties.get(key) is not None]
            if not feature.polygons:
                annotations.report("no-polygon", place, "has no polygon", "left out")
            outer_rings = joined([outer_ring for outer_ring, *_ in feature.polygons])
            if len(outer_rings) > 1:
                problem = f"has {len(outer_rings)} polygons"
                annotations.report_once(file, "several-polygons", place, problem, "each becomes a box")
            for outer_ring in outer_rings:
                ring = slice(len(points), len(points) + len(outer_ring))
                points += [position[:2] for position in outer_ring]
                self.shapes.append(_Shape(place, (names or [NO_CLASS])[0], properties.get("score"), ring))
        self.points = np.array(points, np.float64).reshape(-1, 2)
        self._transformed = cache(partial(transformed, self.points))

    def crs_for(self, raster: _Raster) -> str:
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
        return OWN if (np.abs(self.points) > (180, 90)).any() else WGS84

    def in_pixels(self, raster: _Raster) -> NDArray[np.float64]:
        """Return all points, ``(M, 2)``, in pixels of an image."""
        source, georeference = self.crs_for(raster), raster.georeference
        is_own = source == OWN or georeference.crs is None
        points = self.points if is_own else self._transformed(source, georeference.crs)
        if georeference.is_geographic:  # the image can extend beyond 180 degrees
            centre = georeference.to_world(np.array([raster.size]) / 2)[0, 0]
            points = np.column_stack([nearest(points[:, 0], centre), points[:, 1]])
        return georeference.to_pixels(points)

    def shown(self, points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which of the ``S`` polygons an image of ``size`` shows, ``(S,)`` bool.

        A polygon is shown if at least :data:`~oil_storage.tiling.MIN_VISIBLE` of its bounding box is inside the image.
        A polygon without area is shown if it touches the image.
        """
        starts = [shape.ring.start for shape in self.shapes]
        low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
        sides = np.minimum(high, size) - np.maximum(low, 0)
        shares = (sides >= 0).all(axis=1) & (sides.prod(axis=1) >= MIN_VISIBLE * (high - low).prod(axis=1))
        return np.asarray(shares, np.bool_)


def annotation_files(source: Path) -> list[Path]:
    """Return the GeoJSON files of ``source``."""
    return visible(source, "*.geojson", f"{IMAGES}/*.geojson")


def read(source: Path, files: list[Path]) -> Annotations:
    """Read the GeoJSON files of ``source`` and ``source/images``; convert each polygon to its bounding box in pixels.

    A GeoJSON file with the name of an image (``a.geojson`` for ``a.tif``) belongs to this image. A polygon of another
    file belongs to each image that shows at least :data:`~oil_storage.tiling.MIN_VISIBLE` of its bounding box. Polygons
    that no image shows are left out.
    """
    annotations = Annotations([], [], files)
    rasters: dict[str, _Raster] = {}
    for path in image_files(source / IMAGES if (source / IMAGES).is_dir() else source):
        annotations.add_image(path.stem, path, None, str(path))
        if size := image_size(path):
            rasters[path.stem] = _Raster(path, read_georeference(path) or PIXELS, size)
            if not rasters[path.stem].georeference.is_exact:
                problem = "only has a camera model (RPC) or rounded corners"
                annotations.report("not-exact", str(path), problem, "boxes may be shifted")
    broken = {image.name for image in annotations.images} - rasters.keys()  # the audit reports them
    for file in files:
        layer = _Layer(file, annotations)
        if layer.shapes and rasters and file.stem not in broken:
            _add_boxes(layer, rasters, annotations)
    return annotations


def read_scored(file: Path, image: Path | None) -> Iterator[tuple[str, list[float], float]]:
    """Read detections of a scene: polygons with a property ``score``.

    Args:
        file: GeoJSON file.
        image: image of the scene; None if it is not available, which requires pixel coordinates (``"crs": null``).

    Yields:
        tuple: location in the file, xyxy bounds in pixels of the scene, score.

    Raises:
        UserError: the file is invalid, a feature has no polygon or score, or coordinates cannot be converted to pixels.
    """
    annotations = Annotations([], [], [file])
    layer = _Layer(file, annotations)
    if annotations.findings:
        raise UserError(f"{annotations.findings[0].place}: {annotations.findings[0].problem}")
    if image is None and layer.crs != OWN:
        raise UserError(
            f"{file}: coordinates are in {layer.crs or 'WGS 84'}, but the ground truth has no image {file.stem}; "
            'give ground truth with images, or coordinates in pixels with "crs": null'
        )
    georeference = read_georeference(image) if image is not None else None
    raster = _Raster(image or file, georeference or PIXELS, (0, 0))
    points = layer.in_pixels(raster)
    for shape in layer.shapes:
        if isinstance(shape.score, bool) or not isinstance(shape.score, int | float):
            raise UserError(f"{shape.place}: property score is {shape.score!r}; it must be a number")
        yield shape.place, list(bounds(points[shape.ring])), float(shape.score)


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write a GeoJSON file for each image, in WGS 84 or, without a coordinate system, in raster coordinates."""
    from shapely import polygons

    for scene in scenes:
        georeference = scene.georeference or PIXELS
        points = georeference.to_world(rings(np.array(shortest(scene.boxes)).reshape(-1, 4)))
        if georeference.crs:
            points = transformed(points, georeference.crs, WGS84).round(10)  # 0.01 mm
            points[:, 0] = nearest(points[:, 0], 0)
        corners = points.reshape(-1, 5, 2)
        geometries, own = (cut(corners), {}) if georeference.crs else (polygons(corners), {"crs": None})
        text = feature_collection(geometries, [{"class": CLASS_NAME}] * len(scene.boxes), **own)
        (out / IMAGES / f"{scene.scene_id}.geojson").write_text(text, encoding="utf-8")


def feature_collection(geometries: Iterable[Any], properties: Iterable[Mapping[str, Any]], **members: Any) -> str:
    """Return a GeoJSON text with a feature for each box.

    Args:
        geometries: shapely geometries of the boxes.
        properties: properties of each box.
        members: additional members of the feature collection.
    """
    from shapely.geometry import mapping

    features = [
        {"type": "Feature", "properties": values, "geometry": mapping(geometry)}
        for geometry, values in zip(geometries, properties, strict=True)
    ]
    return json_text({"type": "FeatureCollection", **members, "features": features})


def _named_crs(crs: Any, file: Path) -> str:
    """Return the coordinate system that a ``crs`` member names; :data:`OWN` for null."""
    try:
        return OWN if crs is None else str(CRS.from_user_input(crs["properties"]["name"]).to_string())
    except (KeyError, TypeError, CRSError) as error:
        raise UserError(
            f"{file}: unknown crs {crs!r}; leave it out for WGS 84, or use a name such as "
            '{"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}'
        ) from error


def transformed(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """Transform points ``(N, 2)``, x or longitude first, from one coordinate system to another."""
    if not len(points):
        return points
    return np.array(transform(source, target, points[:, 0], points[:, 1])).T


def _add_boxes(layer: _Layer, rasters: Mapping[str, _Raster], annotations: Annotations) -> None:
    """Add the polygons to the image with the same name as the file, or else to each image that shows them."""
    is_of_one_image = layer.file.stem in rasters
    if is_of_one_image:
        rasters = {layer.file.stem: rasters[layer.file.stem]}
    systems = {
        name if raster.georeference == PIXELS else raster.georeference.crs or OWN for name, raster in rasters.items()
    }
    if len(systems) > 1 and any(layer.crs_for(raster) == OWN for raster in rasters.values()):
        raise UserError(
            f"{layer.file}: the coordinates are ambiguous, because the images have {len(systems)} coordinate systems;\n"
            'write a GeoJSON file for each image, with the name of the image, or name the system in its "crs"'
        )
    shown_once = np.full(len(layer.shapes), is_of_one_image)
    for name, raster in rasters.items():
        points = layer.in_pixels(raster)
        shown = shown_once if is_of_one_image else layer.shown(points, raster.size)
        shown_once |= shown
        for index in np.flatnonzero(shown):
            shape = layer.shapes[index]
            ring = points[shape.ring]
            if not is_upright_box(ring):
                problem = "polygon is not an axis-aligned box in pixels"
                annotations.report_once(layer.file, "outline", shape.place, problem, "its bounding box is used")
            annotations.records.append(Record(name, shape.class_name, rounded(bounds(ring)), shape.place))
    if not shown_once.any():
        x, y = layer.points[0].tolist()
        raise UserError(
            f"{layer.file}: no image shows any of the {len(layer.shapes)} polygons, the first of which is at "
            f"({x:g}, {y:g}); check the crs, and that longitude (or easting) comes first"
        )
    for index in np.flatnonzero(~shown_once):
        shape = layer.shapes[index]
        x, y = layer.points[shape.ring.start].tolist()
        problem = f"no image shows at least {MIN_VISIBLE:.0%} of the polygon at ({x:g}, {y:g})"
        annotations.report("in-no-scene", shape.place, problem, "left out")
