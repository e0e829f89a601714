"""A scene with its detections: as a picture, and as a page to zoom and click in."""

from importlib.resources import files

import numpy as np

from oil_storage.drawing import PREDICTION, draw_boxes, jpeg
from oil_storage.imagery import SceneImage
from oil_storage.inference.scene_detections import SceneDetections
from oil_storage.inference.summaries import SceneSummary
from oil_storage.reporting.pages import jpeg_uri, render

LONGEST = 4096
"""Pixels of a picture's longer side, at most."""


def scene_picture(image: SceneImage, detections: SceneDetections) -> bytes:
    """Draw detections on a scene, reduced where it is very large; returns a JPEG file."""
    pixels = np.array(image.reduced(LONGEST))  # a copy: an array that was given as a scene stays as it is
    zoom = np.tile(np.array(pixels.shape[1::-1]) / (detections.width, detections.height), 2)
    draw_boxes(pixels, (detections.boxes * zoom).astype(np.float32), PREDICTION)
    return jpeg(pixels)


def scene_page(image: SceneImage, detections: SceneDetections, summary: SceneSummary, threshold: float) -> str:
    """Return an HTML page that stands alone.

    The viewer is Leaflet (https://leafletjs.com, BSD-2-Clause), which is inside.

    Args:
        image: of the scene; reduced where it is very large.
        detections: in the scene.
        summary: of the detections.
        threshold: least score of the detections.
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
        "reduction": max(detections.width, detections.height) / max(pixels.shape),
        "image": jpeg_uri(np.ascontiguousarray(pixels)),
        "tanks": tanks,
        "leaflet_js": (leaflet / "leaflet.js").read_text(encoding="utf-8"),
        "leaflet_css": (leaflet / "leaflet.css").read_text(encoding="utf-8"),
    }
    return render("scene.html", content)
