"""A scene as a page that stands alone: to be zoomed, with boxes to be clicked."""

from importlib.resources import files

import numpy as np

from oil_storage import __version__
from oil_storage.imagery import SceneImage
from oil_storage.inference.map_files import places, summary
from oil_storage.inference.picture import LONGEST
from oil_storage.inference.scene_detector import SceneDetections
from oil_storage.inference.sites import Measures
from oil_storage.reporting.pages import jpeg_uri


def scene_page(image: SceneImage, found: SceneDetections, measures: Measures, threshold: float) -> str:
    """The page's text.

    The viewer is Leaflet (https://leafletjs.com, BSD-2-Clause), which is inside.

    Args:
        image: of the scene; reduced where it is very large.
        found: in it.
        measures: of what was found.
        threshold: the least score of it.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    pixels = image.reduced(LONGEST)
    known = summary(found, measures)
    unit = measures.unit
    on_earth = places(found)
    tanks = [
        {
            "box": [round(side, 2) for side in box],
            "score": round(score, 4),
            "diameter": round(diameter, 2),
            "site": site,
            "place": None if on_earth is None else on_earth[index].tolist(),
        }
        for index, (box, score, diameter, site) in enumerate(
            zip(
                found.boxes.tolist(),
                found.scores.tolist(),
                measures.diameters.tolist(),
                measures.sites.tolist(),
                strict=True,
            )
        )
    ]
    content = {
        **{key: known[key] for key in ("scene", "width", "height", "gsd", "tanks")},
        "sites": [{**site, "roof_area": f"{site[f'roof_area_{unit}2']:,.0f}"} for site in known["sites"]],
        "diameters": known[f"diameters_{unit}"],
        "unit": unit,
        "threshold": threshold,
        "reduction": max(found.width, found.height) / max(pixels.shape),
        "image": jpeg_uri(np.ascontiguousarray(pixels)),
        "found": tanks,
        "version": __version__,
        "leaflet_js": _leaflet("leaflet.js"),
        "leaflet_css": _leaflet("leaflet.css"),
    }
    environment = Environment(loader=PackageLoader("oil_storage.reporting"), autoescape=select_autoescape())
    return environment.get_template("scene.html").render(content)


def _leaflet(name: str) -> str:
    return (files("oil_storage.reporting") / "leaflet" / name).read_text(encoding="utf-8")
