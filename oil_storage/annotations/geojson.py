"""GeoJSON files with polygons, for georeferenced scenes or in pixels.

Raster coordinates are in the coordinate system of the image, or in pixels if the image is not georeferenced. Without a
``crs`` member, coordinates are WGS 84 longitude and latitude (RFC 7946), with two exceptions. They are raster
coordinates if a value is out of range for longitude or latitude, or if the image has a world file but no coordinate
system. A ``crs`` member, as in GDAL and in the GeoJSON specification of 2008, names the coordinate system. The member
``"crs": null`` means raster coordinates. A sequence has one feature on each line.

Source: https://www.rfc-editor.org/rfc/rfc7946, https://www.rfc-editor.org/rfc/rfc8142,
https://geojson.org/geojson-spec.html#coordinate-reference-system-objects
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, FailFast, Field, StrictFloat
from rasterio.crs import CRS
from rasterio.errors import CRSError

from oil_storage.annotations import xview
from oil_storage.annotations.antimeridian import cut, nearest
from oil_storage.annotations.boxes import bounds, rings, shortest
from oil_storage.annotations.polygons import OWN, WGS84, Feature, Layer, Raster, add_boxes, rasters_of, transformed
from oil_storage.annotations.record import Annotations
from oil_storage.annotations.source import Source
from oil_storage.errors import UserError
from oil_storage.files import json_text, read_json, read_text, validated
from oil_storage.georeference import PIXELS
from oil_storage.image_file import read_georeference
from oil_storage.scene import CLASS_NAME, Scene

IMAGES = "images"
SUFFIXES = (".geojson", ".geojsonl", ".geojsons", ".geojsonseq", ".ndgeojson")
PLAIN = (".json", ".jsonl", ".ndjson")
"""Suffixes of files that are GeoJSON if they start like it."""
COLLECTION = re.compile(r'^\x1e?\s*\{[\s\S]{0,4096}?"type"\s*:\s*"Feature(Collection)?"')
RECORD = "\x1e"
"""Character that starts each feature of a sequence in RFC 8142."""

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


def annotation_files(source: Source) -> list[Path]:
    """Return the GeoJSON files, except those of xView."""
    files = [
        *source.with_suffix(*SUFFIXES),
        *(file for file in source.with_suffix(*PLAIN) if source.starts_with(file, COLLECTION)),
    ]
    return sorted(set(files) - set(xview.annotation_files(source)))


def read(source: Source, files: list[Path]) -> Annotations:
    """Read GeoJSON files; convert each polygon to its bounding box in pixels.

    A GeoJSON file with the name of an image (``a.geojson`` for ``a.tif``) belongs to this image. A polygon of another
    file belongs to each image that shows at least :data:`~oil_storage.tiling.MIN_VISIBLE` of its bounding box. Polygons
    that no image shows are left out.

    Raises:
        UserError: no image shows any polygon of a file.
    """
    annotations = Annotations([], [], files)
    rasters = rasters_of(source, annotations)
    for file in files:
        add_boxes(_layer(file, annotations), rasters, source, annotations)
    return annotations


def read_scored(file: Path, image: Path | None) -> Iterator[tuple[str, list[float], float, str]]:
    """Read detections of a scene: polygons with a property ``score``.

    Args:
        file: GeoJSON file.
        image: image of the scene; None if it is not available, which requires pixel coordinates (``"crs": null``).

    Yields:
        tuple: location in the file, xyxy bounds in pixels of the scene, score, class.

    Raises:
        UserError: the file is invalid, a feature has no polygon or score, or coordinates cannot be converted to pixels.
    """
    annotations = Annotations([], [], [file])
    layer = _layer(file, annotations)
    if annotations.findings:
        raise UserError(f"{annotations.findings[0].place}: {annotations.findings[0].problem}")
    if image is None and layer.crs != OWN:
        raise UserError(
            f"{file}: coordinates are in {layer.crs or 'WGS 84'}, but the ground truth has no image {file.stem}; "
            'give ground truth with images, or coordinates in pixels with "crs": null'
        )
    georeference = read_georeference(image) if image is not None else None
    raster = Raster(image or file, georeference or PIXELS, (0, 0))
    points = layer.in_pixels(raster)
    for polygon in layer.polygons:
        if isinstance(polygon.score, bool) or not isinstance(polygon.score, int | float):
            raise UserError(f"{polygon.place}: property score is {polygon.score!r}; it must be a number")
        yield polygon.place, list(bounds(points[polygon.ring])), float(polygon.score), polygon.class_name


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


def _layer(file: Path, annotations: Annotations) -> Layer:
    content = validated(_collection(file), _FeatureCollection, file)
    features = (
        Feature(
            f"{file}: features[{index}]",
            feature.properties if isinstance(feature.properties, dict) else {},
            [outer_ring for outer_ring, *_ in feature.polygons],
        )
        for index, feature in enumerate(content.features)
    )
    crs = _named_crs(content.crs, file) if "crs" in content.model_fields_set else None
    return Layer(file, features, crs, annotations)


def _collection(file: Path) -> Any:
    """Return the unvalidated feature collection of a file; make one of the features of a sequence.

    Raises:
        UserError: the file is neither JSON nor a sequence; the message gives the line.
    """
    text = read_text(file).replace(RECORD, "")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    first = _json(lines[0][1]) if len(lines) > 1 else None
    if not isinstance(first, dict) or first.get("type") != "Feature":
        content = read_json(file) if RECORD not in text else _json(text)
        is_feature = isinstance(content, dict) and content.get("type") == "Feature"
        return {"type": "FeatureCollection", "features": [content]} if is_feature else content
    features = []
    for number, line in lines:
        try:
            features.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise UserError(f"{file}:{number}: not JSON ({error.msg}); write one feature per line") from error
    return {"type": "FeatureCollection", "features": features}


def _json(text: str) -> Any:
    """Return the content of a JSON text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _named_crs(crs: Any, file: Path) -> str:
    """Return the coordinate system that a ``crs`` member names; :data:`OWN` for null."""
    try:
        return OWN if crs is None else str(CRS.from_user_input(crs["properties"]["name"]).to_string())
    except (KeyError, TypeError, CRSError) as error:
        raise UserError(
            f"{file}: unknown crs {crs!r}; leave it out for WGS 84, or use a name such as "
            '{"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}'
        ) from error
