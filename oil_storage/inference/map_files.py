"""Detections in the formats that a GIS, a spreadsheet or a detector's user opens."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from oil_storage.coco import CocoFile, CocoImage
from oil_storage.files import json_text, write_bytes
from oil_storage.georeference import PIXELS
from oil_storage.inference.scene_detections import SceneDetections

CSV_HEADER = ("scene", "xmin", "ymin", "xmax", "ymax", "score", "diameter", "unit", "site", "longitude", "latitude")
NOTE = "coordinates are pixels of the image, x to the right and y down: where on earth it lies is not known"


def geojson(detections: SceneDetections) -> str:
    """Make a polygon of each tank, in WGS 84, or in pixels where the scene is not georeferenced; a note says so."""
    corners = detections.boxes.astype(np.float64)[:, [0, 1, 0, 3, 2, 3, 2, 1, 0, 1]].reshape(-1, 2)
    rings = detections.coordinates(corners).reshape(-1, 5, 2).tolist()
    if detections.crs is not None:
        rings = [_counter_clockwise(ring) for ring in rings]
    features = [
        {
            "type": "Feature",
            "properties": {
                "score": round(tank.score, 4),
                f"diameter_{detections.unit}": round(tank.diameter, 2),
                "centre": tank.centre,
                "site": tank.site,
            },
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for tank, ring in zip(detections.tanks(), rings, strict=True)
    ]
    note = {"crs": None, "note": NOTE} if detections.crs is None else {}
    return json_text({"type": "FeatureCollection", **note, "features": features})


def _counter_clockwise(ring: list[list[float]]) -> list[list[float]]:
    """Turn a closed ring as RFC 7946 asks; it runs clockwise in scenes whose rows run north."""
    (x, y), (x1, y1), (x2, y2) = ring[:3]
    return ring if (x1 - x) * (y2 - y) > (x2 - x) * (y1 - y) else ring[::-1]


def geopackage(detections: SceneDetections) -> bytes:
    """Make a layer with a polygon of each tank, in the scene's coordinate system, or in pixels where it has none."""
    import pyogrio
    from shapely import polygons, to_wkb

    georeference = detections.georeference or PIXELS
    corners = detections.boxes.astype(np.float64)[:, [0, 1, 0, 3, 2, 3, 2, 1]].reshape(-1, 2)
    fields = {
        "score": detections.scores.astype(np.float64),
        f"diameter_{detections.unit}": detections.diameters,
        "site": detections.sites,
    }
    content = io.BytesIO()
    pyogrio.raw.write(
        content,
        geometry=to_wkb(polygons(georeference.to_world(corners).reshape(-1, 4, 2))),
        field_data=list(fields.values()),
        fields=list(fields),
        layer="tanks",
        driver="GPKG",
        geometry_type="Polygon",
        crs=georeference.crs,
    )
    return content.getvalue()


def table(detections: SceneDetections) -> str:
    """Make a CSV with a line for each tank; ``tools/evaluate.py`` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for tank, box in zip(detections.tanks(), detections.boxes.round(2).tolist(), strict=True):
        sides = [f"{side:.2f}" for side in box]
        lonlat = ["", ""] if detections.crs is None else tank.centre
        sizes = [f"{tank.score:.4f}", f"{tank.diameter:.2f}", detections.unit, tank.site]
        writer.writerow([detections.name, *sides, *sizes, *lonlat])
    return text.getvalue()


def coco_json(detections: SceneDetections) -> str:
    """Make COCO json with a ``score`` in each annotation; ``tools/evaluate.py`` reads it."""
    image = CocoImage(1, detections.file_name, detections.width, detections.height, detections.name, detections.gsd)
    content = CocoFile.of_boxes([image], [detections.boxes])
    scored = [
        replace(annotation, score=score)
        for annotation, score in zip(content.annotations, detections.scores.tolist(), strict=True)
    ]
    return replace(content, annotations=scored).text()


FORMATS: Mapping[str, Callable[[SceneDetections], str | bytes]] = {
    ".geojson": geojson,
    ".gpkg": geopackage,
    ".csv": table,
    ".coco.json": coco_json,
}
"""Maker of each file, by its ending."""


def write(detections: SceneDetections, folder: Path) -> None:
    """Write a scene's detections in all :data:`FORMATS`."""
    for ending, make in FORMATS.items():
        content = make(detections)
        write_bytes(folder / f"{detections.name}{ending}", content.encode() if isinstance(content, str) else content)
