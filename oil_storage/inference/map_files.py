"""What was found in a scene, in the formats that a GIS, a table or a detector's user opens."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations.geojson import WGS84, transformed
from oil_storage.coco import CocoFile, CocoImage
from oil_storage.files import json_text, write_bytes
from oil_storage.georeference import PIXELS
from oil_storage.inference.scene_detector import SceneDetections
from oil_storage.inference.sites import Measures

CSV_HEADER = ("scene", "xmin", "ymin", "xmax", "ymax", "score", "diameter", "unit", "site", "longitude", "latitude")
NOTE = "coordinates are pixels of the image, x to the right and y down: where on earth it lies is not known"


def geojson(found: SceneDetections, measures: Measures) -> str:
    """A polygon a tank: in WGS 84 where the scene is georeferenced, else in its pixels, which the file says."""
    corners = found.boxes.astype(np.float64)[:, [0, 1, 0, 3, 2, 3, 2, 1, 0, 1]].reshape(-1, 2)
    centres, rings = _on_earth(found, _centres(found)).tolist(), _on_earth(found, corners).reshape(-1, 5, 2).tolist()
    if _is_on_earth(found):
        rings = [_counter_clockwise(ring) for ring in rings]
    features = [
        {
            "type": "Feature",
            "properties": {
                "score": round(float(score), 4),
                f"diameter_{measures.unit}": round(float(diameter), 2),
                "centre": centre,
                "site": int(site),
            },
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for ring, centre, score, diameter, site in zip(
            rings, centres, found.scores, measures.diameters, measures.sites, strict=True
        )
    ]
    own = {} if _is_on_earth(found) else {"crs": None, "note": NOTE}
    return json_text({"type": "FeatureCollection", **own, "features": features})


def _counter_clockwise(ring: list[list[float]]) -> list[list[float]]:
    """A closed ring as RFC 7946 wants it: it runs clockwise in scenes whose rows run north."""
    (x, y), (x1, y1), (x2, y2) = ring[:3]
    return ring if (x1 - x) * (y2 - y) > (x2 - x) * (y1 - y) else ring[::-1]


def geopackage(found: SceneDetections, measures: Measures) -> bytes:
    """One layer of a polygon a tank: in the scene's own coordinate system, or in its pixels where it has none."""
    import pyogrio
    from shapely import polygons, to_wkb

    place = found.georeference or PIXELS
    corners = found.boxes.astype(np.float64)[:, [0, 1, 0, 3, 2, 3, 2, 1]].reshape(-1, 2)
    fields = {
        "score": found.scores.astype(np.float64),
        f"diameter_{measures.unit}": measures.diameters,
        "site": measures.sites,
    }
    content = io.BytesIO()
    pyogrio.raw.write(
        content,
        geometry=to_wkb(polygons(place.to_world(corners).reshape(-1, 4, 2))),
        field_data=list(fields.values()),
        fields=list(fields),
        layer="tanks",
        driver="GPKG",
        geometry_type="Polygon",
        crs=place.crs,
    )
    return content.getvalue()


def table(found: SceneDetections, measures: Measures) -> str:
    """A line a tank: ``tools/evaluate.py`` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    on_earth = places(found)
    columns = [["", ""]] * len(found.boxes) if on_earth is None else on_earth.tolist()
    for box, score, diameter, site, place in zip(
        found.boxes.round(2).tolist(), found.scores, measures.diameters, measures.sites, columns, strict=True
    ):
        sides = [f"{side:.2f}" for side in box]
        writer.writerow([found.name, *sides, f"{score:.4f}", f"{diameter:.2f}", measures.unit, site, *place])
    return text.getvalue()


def coco_json(found: SceneDetections, measures: Measures) -> str:
    """COCO json with a ``score`` in each annotation: ``tools/evaluate.py`` reads it."""
    image = CocoImage(1, found.file_name, found.width, found.height, found.name, measures.gsd)
    content = CocoFile.of_boxes([image], [found.boxes])
    scored = [
        replace(annotation, score=score)
        for annotation, score in zip(content.annotations, found.scores.tolist(), strict=True)
    ]
    return replace(content, annotations=scored).text()


FORMATS: Mapping[str, Callable[[SceneDetections, Measures], str | bytes]] = {
    ".geojson": geojson,
    ".gpkg": geopackage,
    ".csv": table,
    ".coco.json": coco_json,
}
"""What makes a file, by its ending."""


def write(found: SceneDetections, measures: Measures, folder: Path) -> list[Path]:
    """Write a scene's detections in all :data:`FORMATS`, each file in one step; returns the files."""
    paths = []
    for ending, content_of in FORMATS.items():
        path = folder / f"{found.name}{ending}"
        content = content_of(found, measures)
        write_bytes(path, content.encode() if isinstance(content, str) else content)
        paths.append(path)
    return paths


def summary(found: SceneDetections, measures: Measures) -> dict[str, Any]:
    """How many tanks there are, how large, and the sites they make."""
    from shapely import MultiPoint

    sites = []
    for number in range(1, int(measures.sites.max(initial=0)) + 1):
        of_site = measures.sites == number
        corners = found.boxes[of_site].astype(np.float64)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
        outline = np.array(MultiPoint(corners).convex_hull.exterior.coords)
        sites.append(
            {
                "site": number,
                "tanks": int(of_site.sum()),
                f"roof_area_{measures.unit}2": round(float((np.pi / 4 * measures.diameters[of_site] ** 2).sum()), 1),
                "outline": _on_earth(found, outline).tolist(),
            }
        )
    counts, edges = np.histogram(measures.diameters, bins=_diameter_bins(measures))
    return {
        "scene": found.name,
        "width": found.width,
        "height": found.height,
        "gsd": measures.gsd,
        "tanks": len(found.boxes),
        "notes": dict(found.notes),
        "coordinates": "WGS 84" if _is_on_earth(found) else NOTE,
        f"diameters_{measures.unit}": {
            f"{low:g}-{high:g}": int(count) for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        },
        "sites": sites,
    }


def _diameter_bins(measures: Measures) -> NDArray[np.float64]:
    """From 0 in steps of ten to beyond the largest."""
    last = float(measures.diameters.max(initial=0.0))
    return np.array([10.0 * step for step in range(int(last // 10) + 2)])


def _is_on_earth(found: SceneDetections) -> bool:
    return found.georeference is not None and found.georeference.crs is not None


def places(found: SceneDetections) -> NDArray[np.float64] | None:
    """Longitude and latitude of each tank, ``(N, 2)``; None where the scene does not say where it lies."""
    return _on_earth(found, _centres(found)) if _is_on_earth(found) else None


def _centres(found: SceneDetections) -> NDArray[np.float64]:
    boxes = found.boxes.astype(np.float64)
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _on_earth(found: SceneDetections, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitude and latitude of pixel positions ``(N, 2)``; as they are where the scene does not say where it lies."""
    place = found.georeference
    if place is None or place.crs is None:
        return PIXELS.to_world(points).round(2)
    return transformed(place.to_world(points), place.crs, WGS84).round(9)  # a tenth of a millimetre
