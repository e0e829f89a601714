"""GeoTIFF scenes with boxes in GeoJSON.

Without a ``crs`` member, coordinates are longitude and latitude in WGS 84, as RFC 7946 has them, or, where one of them
cannot be, those of the raster. A ``crs`` member, as GDAL and the GeoJSON of 2008 know it, names a system; null means
the raster's own coordinates: its pixels, where it is not georeferenced.

Source: https://www.rfc-editor.org/rfc/rfc7946, https://geojson.org/geojson-spec.html#coordinate-reference-system-objects
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations.decimals import decimals, rounded
from oil_storage.annotations.folders import visible
from oil_storage.annotations.images import copy_images, image_files, image_size
from oil_storage.annotations.json_file import is_number, load_object
from oil_storage.annotations.outline import bounds, is_upright_box
from oil_storage.annotations.record import Annotations, ImageRecord, Record
from oil_storage.annotations.tally import Tally
from oil_storage.errors import UserError
from oil_storage.files import json_text
from oil_storage.findings import Finding, Severity
from oil_storage.georeference import PIXELS, Georeference
from oil_storage.imagery import read_georeference
from oil_storage.scene import CLASS_NAME, Scene
from oil_storage.tiling import MIN_VISIBLE

IMAGES = "images"
CLASS_KEYS = ("class", "class_name", "label", "category")
"""Properties that may name a feature's class; the first that is there does."""
NO_CLASS = "unnamed"
"""The class of a feature without such a property."""
OWN = ""
"""In place of a coordinate system: the own coordinates of the raster."""
WGS84 = "OGC:CRS84"


@dataclass(frozen=True)
class _Shape:
    """One polygon of a feature: its outer ring, ``(N, 2)`` in the file's coordinates."""

    place: str
    class_name: str
    score: Any
    ring: NDArray[np.float64]


@dataclass(frozen=True)
class _Raster:
    """An image that opens, and where it lies."""

    path: Path
    georeference: Georeference
    size: tuple[int, int]


class _Layer:
    """All polygons of a file.

    Attributes:
        file: the file.
        shapes: its polygons.
        crs: the coordinate system that the file names, :data:`OWN` for the raster's; None where it is silent.
    """

    def __init__(self, file: Path, shapes: Sequence[_Shape], crs: str | None) -> None:
        self.file, self.shapes, self.crs = file, shapes, crs
        self._points = np.concatenate([shape.ring for shape in shapes] or [np.empty((0, 2))])
        self._starts = np.cumsum([0, *(len(shape.ring) for shape in shapes)])
        self._transformed: dict[tuple[str, str], NDArray[np.float64]] = {}

    def crs_for(self, raster: _Raster) -> str:
        """The coordinate system of the polygons: :data:`OWN`, or one that can be transformed to the raster's.

        Raises:
            UserError: the raster names none, and the coordinates are not its own.
        """
        if raster.georeference.crs is None:
            if self.crs == OWN or (self.crs is None and raster.georeference != PIXELS):
                return OWN
            raise UserError(
                f"{raster.path}: names no coordinate system, {self.file.name} has coordinates in "
                f'{self.crs or "WGS 84"}; georeference the image, or give coordinates in its pixels with "crs": null'
            )
        if self.crs is not None:
            return self.crs
        return OWN if (np.abs(self._points) > (180, 90)).any() else WGS84

    def in_pixels(self, raster: _Raster) -> NDArray[np.float64]:
        """All points, ``(M, 2)``, in the pixels of an image."""
        source, target = self.crs_for(raster), raster.georeference.crs
        points = self._points
        if source != OWN and target:
            key = source, target
            if key not in self._transformed:
                self._transformed[key] = transformed(points, source, target)
            points = self._transformed[key]
        return raster.georeference.to_pixels(points)

    def bounds(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The xyxy bounds ``(N, 4)`` of each polygon among all points."""
        starts = self._starts[:-1]
        return np.hstack([np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)])

    def ring(self, points: NDArray[np.float64], index: int) -> NDArray[np.float64]:
        """The points of one polygon among all."""
        return points[self._starts[index] : self._starts[index + 1]]


def is_format_of(source: Path) -> bool:
    """Whether ``source`` looks like this format."""
    return bool(_annotation_files(source))


def read(source: Path) -> Annotations:
    """Read every GeoJSON of ``source``; a polygon becomes its bounds in the pixels of the image.

    A GeoJSON that is called like an image, ``a.geojson`` beside ``a.tif``, is that image's. The boxes of any other
    belong to every image that shows at least :data:`~oil_storage.tiling.MIN_VISIBLE` of their area; those that no image
    shows are left out.

    Args:
        source: folder with images in ``images/``, or itself, and GeoJSON files in either.

    Returns:
        Annotations: images by name; records in the order of files, images and features.

    Raises:
        UserError: no such file, one that is no GeoJSON, coordinates that do not fit the raster; the feature is named.
    """
    files = _annotation_files(source)
    if not files:
        raise UserError(f"{source}: no *.geojson in it, nor in its {IMAGES}/")
    images = image_files(_image_folder(source))
    sizes = {path: image_size(path) for path in images}
    rasters = {
        path.stem: _Raster(path, read_georeference(path) or PIXELS, size) for path, size in sizes.items() if size
    }
    found = Annotations([ImageRecord(path.stem, path, None, str(path)) for path in images], [], files)
    tally = Tally()
    broken = {path.stem for path, size in sizes.items() if not size}  # the audit says so
    for file in files:
        layer = _read_layer(file, found.findings, tally)
        if not layer.shapes or not rasters or file.stem in broken:
            continue
        if file.stem in rasters:
            pixels = layer.in_pixels(rasters[file.stem])
            _add(layer, pixels, range(len(layer.shapes)), file.stem, found, tally)
        else:
            _deal(layer, rasters, found, tally)
    found.findings.extend(tally.findings())
    return found


def read_scored(file: Path, image: Path | None) -> Iterator[tuple[str, list[float], float]]:
    """Read detections in one scene: polygons with a property ``score``.

    Args:
        file: GeoJSON.
        image: of the scene; None where it is not at hand, which does for a file in its pixels (``"crs": null``).

    Yields:
        tuple: place in the file, xyxy bounds in pixels of the scene, score.

    Raises:
        UserError: no GeoJSON, a feature without polygon or score, or coordinates that cannot be brought to pixels.
    """
    findings: list[Finding] = []
    layer = _read_layer(file, findings, Tally())
    if findings:
        raise UserError(f"{findings[0].place}: {findings[0].problem}")
    if image is None and layer.crs != OWN:
        raise UserError(
            f"{file}: coordinates are in {layer.crs or 'WGS 84'}, and the ground truth has no image of {file.stem}; "
            'give a folder with images as ground truth, or coordinates in pixels with "crs": null'
        )
    georeference = read_georeference(image) if image is not None else None
    raster = _Raster(image or file, georeference or PIXELS, (0, 0))
    points = layer.in_pixels(raster)
    for index, shape in enumerate(layer.shapes):
        if not is_number(shape.score):
            raise UserError(f"{shape.place}: has no number as property score, but {shape.score!r}")
        yield shape.place, list(bounds(layer.ring(points, index))), float(shape.score)


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/images/`` with a GeoJSON beside each image: in WGS 84, or in the image's own coordinates."""
    folder = out / IMAGES
    copy_images(scenes, folder)
    for scene in scenes:
        georeference = scene.georeference or PIXELS
        boxes = np.array(decimals(scene.boxes)).reshape(-1, 4)
        corners = boxes[:, [0, 1, 0, 3, 2, 3, 2, 1, 0, 1]].reshape(-1, 2)
        points = georeference.to_world(corners)
        if georeference.crs:
            points = transformed(points, georeference.crs, WGS84).round(10)  # a hundredth of a millimetre
        features = [
            {
                "type": "Feature",
                "properties": {"class": CLASS_NAME},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
            for ring in points.reshape(-1, 5, 2).tolist()
        ]
        own = {} if georeference.crs else {"crs": None}
        content = {"type": "FeatureCollection", **own, "features": features}
        (folder / f"{scene.scene_id}.geojson").write_text(json_text(content), encoding="utf-8")


def _image_folder(source: Path) -> Path:
    return source / IMAGES if (source / IMAGES).is_dir() else source


def _annotation_files(source: Path) -> list[Path]:
    return visible(source, "*.geojson", f"{IMAGES}/*.geojson")


def _stated_crs(content: dict[str, Any], file: Path) -> str | None:
    """The coordinate system that a file names, :data:`OWN` for that of the raster; None where it is silent."""
    if "crs" not in content:
        return None
    if content["crs"] is None:
        return OWN
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        name = content["crs"]["properties"]["name"]
        return str(CRS.from_user_input(name).to_string())
    except (KeyError, TypeError, CRSError) as error:
        raise UserError(
            f"{file}: crs {content['crs']!r} is none that is known; "
            'name one, as {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}, or write WGS 84'
        ) from error


def _read_layer(file: Path, findings: list[Finding], tally: Tally) -> _Layer:
    content = load_object(file)
    return _Layer(file, list(_shapes(content, file, findings, tally)), _stated_crs(content, file))


def _shapes(content: dict[str, Any], file: Path, findings: list[Finding], tally: Tally) -> Iterator[_Shape]:
    features = content.get("features")
    if content.get("type") != "FeatureCollection" or not isinstance(features, list):
        raise UserError(f"{file}: not a FeatureCollection with a list of features; its type is {content.get('type')!r}")
    for index, feature in enumerate(features):
        place = f"{file}: features[{index}]"
        if not isinstance(feature, dict):
            raise UserError(f"{place}: {feature!r} is not an object {{...}}")
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        class_name = next((str(properties[key]) for key in CLASS_KEYS if properties.get(key) is not None), NO_CLASS)
        geometry = feature.get("geometry")
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if not isinstance(geometry, dict) or kind not in ("Polygon", "MultiPolygon"):
            problem = f"geometry is a {kind}, not a polygon" if kind else "has no geometry"
            findings.append(Finding(Severity.WARNING, "no-polygon", place, problem, "left out"))
            continue
        polygons = geometry.get("coordinates")
        polygons = [polygons] if kind == "Polygon" else polygons
        if not isinstance(polygons, list):
            raise UserError(f"{place}: coordinates are {polygons!r}; they must be lists of positions")
        if len(polygons) > 1:
            tally.add(file, "several-polygons", place, f"has {len(polygons)} polygons", "each is read as a box")
        for polygon in polygons:
            yield _Shape(place, class_name, properties.get("score"), _outer_ring(polygon, place))


def _outer_ring(polygon: Any, place: str) -> NDArray[np.float64]:
    ring = polygon[0] if isinstance(polygon, list) and polygon else None
    if not isinstance(ring, list) or len(ring) < 4:
        raise UserError(f"{place}: {polygon!r} is no polygon; its first ring needs four positions or more")
    for position in ring:
        if not isinstance(position, list) or len(position) < 2 or not all(map(is_number, position)):
            raise UserError(f"{place}: {position!r} is no position [x, y]")
    return np.array([position[:2] for position in ring], dtype=np.float64)


def transformed(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """``(N, 2)`` points, x or longitude first, from one coordinate system to another."""
    if not len(points):
        return points
    from rasterio.warp import transform

    return np.array(transform(source, target, points[:, 0], points[:, 1])).T


def _deal(layer: _Layer, rasters: Mapping[str, _Raster], found: Annotations, tally: Tally) -> None:
    """Give every polygon to the images that show it."""
    systems = {
        name if raster.georeference == PIXELS else raster.georeference.crs or OWN for name, raster in rasters.items()
    }
    if len(systems) > 1 and any(layer.crs_for(raster) == OWN for raster in rasters.values()):
        raise UserError(
            f"{layer.file}: coordinates are the raster's own, and the images have {len(systems)} systems; "
            "make a GeoJSON for each image, called like it, or name the crs"
        )
    shown_once = np.zeros(len(layer.shapes), dtype=bool)
    for name, raster in rasters.items():
        points = layer.in_pixels(raster)
        shown = _shown(layer.bounds(points), raster.size)
        shown_once |= shown
        _add(layer, points, np.flatnonzero(shown).tolist(), name, found, tally)
    if not shown_once.any():
        x, y = layer.shapes[0].ring[0].tolist()
        raise UserError(
            f"{layer.file}: no image shows any of its {len(layer.shapes)} boxes; the first is at ({x:g}, {y:g}): "
            "is the crs that of the images, and does longitude, or east, come first?"
        )
    for index in np.flatnonzero(~shown_once):
        shape = layer.shapes[index]
        x, y = shape.ring[0].tolist()
        problem = f"no image shows {MIN_VISIBLE:.0%} of the box at ({x:g}, {y:g})"
        found.findings.append(Finding(Severity.WARNING, "in-no-scene", shape.place, problem, "left out"))


def _shown(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of ``(N, 4)`` boxes an image shows enough of; of one without area, whether it lies inside."""
    sides = np.minimum(boxes[:, 2:], size) - np.maximum(boxes[:, :2], 0)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    enough: NDArray[np.bool_] = (sides >= 0).all(axis=1) & (sides.prod(axis=1) >= MIN_VISIBLE * areas)
    return enough


def _add(
    layer: _Layer, points: NDArray[np.float64], indices: Iterable[int], image: str, found: Annotations, tally: Tally
) -> None:
    """Make records of the polygons ``indices`` in an image, of whose pixels ``points`` are."""
    for index in indices:
        shape, ring = layer.shapes[index], layer.ring(points, index)
        if not is_upright_box(ring):
            tally.add(
                layer.file, "outline", shape.place, "polygon is not an upright box in pixels", "read as its bounds"
            )
        found.records.append(Record(image, shape.class_name, rounded(bounds(ring)), shape.place))
