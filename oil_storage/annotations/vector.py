"""Vector files of GDAL with polygons (read only): GeoPackage, shapefile and FlatGeobuf.

Polygons belong to images as in GeoJSON, see :mod:`.geojson`. The class is in a column with one of the names
:data:`~oil_storage.annotations.polygons.CLASS_KEYS`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from oil_storage.annotations.polygons import Feature, Layer, add_boxes, rasters_of
from oil_storage.annotations.record import Annotations
from oil_storage.annotations.source import Source
from oil_storage.errors import UserError
from oil_storage.files import read_start

SUFFIXES = (".gpkg", ".shp", ".fgb")
SHAPEFILE_LENGTH = slice(24, 28)
"""Bytes of a shapefile with its length in units of two bytes, big-endian."""


def annotation_files(source: Source) -> list[Path]:
    """Return the vector files."""
    return source.with_suffix(*SUFFIXES)


def read(source: Source, files: list[Path]) -> Annotations:
    """Read all layers with geometries of vector files; convert each polygon to its bounding box in pixels.

    Raises:
        UserError: GDAL cannot read a file, a file is truncated, or no image shows any of its polygons.
    """
    annotations = Annotations([], [], files)
    rasters = rasters_of(source, annotations)
    for file in files:
        for layer in _layers(file, annotations):
            add_boxes(layer, rasters, source, annotations)
    return annotations


def _layers(file: Path, annotations: Annotations) -> Iterator[Layer]:
    import pyogrio
    from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError
    from shapely import from_wkb
    from shapely.errors import ShapelyError

    if file.suffix.lower() == ".shp":
        length = 2 * int.from_bytes(read_start(file, SHAPEFILE_LENGTH.stop)[SHAPEFILE_LENGTH], "big")
        if file.is_file() and file.stat().st_size < length:  # GDAL would read the missing shapes as empty ones
            raise UserError(f"{file}: has {file.stat().st_size} of {length} bytes; copy it again")
    try:
        # GDAL does not see the layers of a truncated file; other layers are tables, such as the styles of QGIS
        layers = [name for name, geometry_type in pyogrio.list_layers(file) if geometry_type is not None]
        if not layers:
            raise UserError(f"{file}: contains no layer with geometries; copy or export it again")
        for name in layers:
            about, fids, geometries, columns = pyogrio.raw.read(file, layer=name, force_2d=True, return_fids=True)
            count = pyogrio.read_info(file, layer=name)["features"]
            if len(fids) < count:
                raise UserError(f"{file}: {name}: has {len(fids)} of {count} features; copy or export it again")
            shapes = from_wkb(geometries) if geometries is not None else [None] * len(fids)
            features = [
                Feature(
                    f"{file}: {name}: feature {fid}",
                    {field: _plain(column[index]) for field, column in zip(about["fields"], columns, strict=True)},
                    _outer_rings(shape),
                )
                for index, (fid, shape) in enumerate(zip(fids, shapes, strict=True))
            ]
            yield Layer(file, features, about["crs"], annotations)
    except (CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError, ShapelyError, ValueError) as error:
        reason = str(error).splitlines()[0].removesuffix(".")
        raise UserError(f"{file}: GDAL cannot read it ({reason:.200}); export it again, with all its files") from error


def _plain(value: Any) -> Any:
    """Return a value of a column as Python has it; None if it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value


def _outer_rings(shape: Any) -> list[list[list[float]]]:
    if shape is None or shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty:
        return []
    parts = [shape] if shape.geom_type == "Polygon" else shape.geoms
    return [[list(position) for position in part.exterior.coords] for part in parts]
