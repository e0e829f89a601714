"""Output files of a scene: GeoJSON, GeoPackage, CSV, COCO JSON, a picture, and an interactive HTML page."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from oil_storage.annotations.antimeridian import cut
from oil_storage.annotations.boxes import rings
from oil_storage.annotations.geojson import feature_collection
from oil_storage.coco import CocoFile, CocoImage
from oil_storage.csv_cells import as_cell
from oil_storage.drawing import PREDICTION, draw_boxes, jpeg
from oil_storage.files import write_bytes
from oil_storage.georeference import PIXELS
from oil_storage.imagery import SceneImage
from oil_storage.inference.qgis_style import with_style
from oil_storage.inference.scene_detections import FinishedScene, SceneDetections, SceneSummary
from oil_storage.reporting.pages import jpeg_uri, render

LONGEST = 4096
"""Maximum length of the longer side of a picture, in pixels."""
CSV_HEADER = ("scene", "xmin", "ymin", "xmax", "ymax", "score", "diameter", "unit", "site", "longitude", "latitude")


def geojson(detections: SceneDetections) -> str:
    """Return GeoJSON with a polygon for each tank, in WGS 84, or in pixels if the scene is not georeferenced."""
    from shapely import polygons

    corners = detections.coordinates(rings(detections.boxes.astype(np.float64))).reshape(-1, 5, 2)
    properties = (
        {
            "score": round(tank.score, 4),
            f"diameter_{detections.unit}": round(tank.diameter, 2),
            "centre": tank.centre,
            "site": tank.site,
        }
        for tank in detections.tanks()
    )
    if detections.crs is None:
        return feature_collection(polygons(corners), properties, crs=None, note=detections.place)
    return feature_collection(cut(corners), properties)


def geopackage(detections: SceneDetections) -> bytes:
    """Return a GeoPackage with a polygon for each tank, in the coordinates of the scene, or else in pixels.

    Polygons are not cut at the antimeridian, so that they lie on the scene.
    """
    import pyogrio
    from shapely import polygons, to_wkb

    georeference = detections.georeference or PIXELS
    corners = georeference.to_world(rings(detections.boxes.astype(np.float64)))
    fields = {
        "score": detections.scores.astype(np.float64),
        f"diameter_{detections.unit}": detections.diameters,
        "site": detections.sites,
    }
    content = io.BytesIO()
    pyogrio.raw.write(
        content,
        geometry=to_wkb(polygons(corners.reshape(-1, 5, 2))),
        field_data=list(fields.values()),
        fields=list(fields),
        layer="tanks",
        driver="GPKG",
        geometry_type="Polygon",
        crs=georeference.crs,
    )
    label = f"""format_number("score", 2) || '\\n' || round("diameter_{detections.unit}") || ' {detections.unit}'"""
    return with_style(content.getvalue(), "tanks", label)


def table(detections: SceneDetections) -> str:
    """Return CSV text with a line for each tank, which ``tools/evaluate.py`` can read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for tank, box in zip(detections.tanks(), detections.boxes.round(2).tolist(), strict=True):
        sides = [f"{side:.2f}" for side in box]
        lonlat = ["", ""] if detections.crs is None else tank.centre
        sizes = [f"{tank.score:.4f}", f"{tank.diameter:.2f}", detections.unit, tank.site]
        writer.writerow([as_cell(detections.name), *sides, *sizes, *lonlat])
    return text.getvalue()


def coco_json(detections: SceneDetections) -> str:
    """Return COCO JSON with a ``score`` in each annotation, which ``tools/evaluate.py`` can read."""
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
"""Functions that return the content of an output file, by the ending of its name."""


def write_formats(detections: SceneDetections, folder: Path) -> None:
    """Write the detections of a scene in all :data:`FORMATS`."""
    for ending, make in FORMATS.items():
        content = make(detections)
        write_bytes(folder / f"{detections.name}{ending}", content.encode() if isinstance(content, str) else content)


def scene_picture(image: SceneImage, detections: SceneDetections) -> bytes:
    """Draw detections on a scene, or on the searched window; return a JPEG of at most :data:`LONGEST` pixels per side.

    Args:
        image: scene or window.
        detections: detections in it, in pixels of the scene.
    """
    pixels = np.array(image.reduced(LONGEST))  # copy, because the caller may own the array
    zoom = np.tile(np.array(pixels.shape[1::-1]) / (image.width, image.height), 2)
    corner = np.tile(detections.searched[:2], 2)
    draw_boxes(pixels, ((detections.boxes - corner) * zoom).astype(np.float32), PREDICTION)
    return jpeg(pixels)


def scene_page(image: SceneImage, detections: SceneDetections, summary: SceneSummary, threshold: float) -> str:
    """Return a self-contained HTML page with a zoomable view of a scene.

    The page includes its viewer, Leaflet (https://leafletjs.com, BSD-2-Clause).

    Args:
        image: scene or searched window, which is downsampled to at most :data:`LONGEST` pixels per side.
        detections: detections in the scene.
        summary: summary of the detections.
        threshold: lowest score of the detections.
    """
    pixels = image.reduced(LONGEST)
    tanks = [
        {
            "box": [round(side, 2) for side in tank.box],
            "score": round(tank.score, 4),
            "diameter": round(tank.diameter, 2),
            "site": tank.site,
            "lonlat": None if detections.crs is None else tank.centre,
        }
        for tank in detections.tanks()
    ]
    leaflet = files("oil_storage.reporting") / "leaflet"
    content = {
        "summary": summary,
        "threshold": threshold,
        "searched": detections.searched,
        "reduction": max(image.width, image.height) / max(pixels.shape),
        "image": jpeg_uri(np.ascontiguousarray(pixels)),
        "tanks": tanks,
        "leaflet_js": (leaflet / "leaflet.js").read_text(encoding="utf-8"),
        "leaflet_css": (leaflet / "leaflet.css").read_text(encoding="utf-8"),
    }
    return render("scene.html", content)


def index_page(scenes: Sequence[FinishedScene], left_out: Mapping[str, str]) -> str:
    """Return a self-contained HTML page that lists scenes and links to their pages.

    Args:
        scenes: finished scenes of the output folder.
        left_out: reasons why scenes were left out, by path.
    """
    tanks = sum(scene.tanks for scene in scenes)
    return render("index.html", {"scenes": scenes, "tanks": tanks, "left_out": left_out})
