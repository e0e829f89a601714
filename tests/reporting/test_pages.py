import re
from importlib.resources import files

import numpy as np
import pytest

from oil_storage.georeference import Georeference
from oil_storage.imagery import open_scene
from oil_storage.inference.scene_detections import FinishedScene, MadeBy, SceneDetections, summarise
from oil_storage.inference.scene_files import index_page, scene_page

MADE_BY = MadeBy(
    config="a",
    config_sha256="0",
    checkpoint_sha256="1",
    score_threshold=0.417,
    tile=640,
    overlap=128,
    scale=1,
    tta=False,
    html=True,
    asked=(None, None, None, None),
)
UTM = Georeference("EPSG:32631", (1.5, 0.0, 500_000.0, 0.0, -1.5, 5_700_000.0))


def detections(name: str, georeference: Georeference | None = None) -> SceneDetections:
    boxes = np.array([[10, 10, 30, 30], [50, 50, 70, 70]], np.float32)
    return SceneDetections(name, 400, 300, boxes, np.array([0.9, 0.41704], np.float32), georeference)


def finished(name: str, georeference: Georeference | None = None, html: bool = True) -> FinishedScene:
    summary = summarise(detections(name, georeference), name)
    made_by = MADE_BY.model_copy(update={"html": html})
    return FinishedScene(**summary.model_dump(exclude_unset=True), file={}, made_by=made_by)


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in rows]


def test_index_lists_scenes_and_failed_scenes() -> None:
    page = index_page([finished("a #1.tif", UTM), finished("b.jpg", html=False)], {"x/c.jpg": "x/c.jpg: is <damaged>"})
    assert cells(page)[1:3] == [
        ["a #1", "2", "1", "400 × 300", "1.5", "0.417"],
        ["b", "2", "1", "400 × 300", "unknown", "0.417"],
    ]
    assert re.findall(r'href="([^"]*)"', page) == ["#failed", "a%20%231.html"]
    assert "4 tanks in 2 scenes" in page
    assert cells(page)[-1] == ["c.jpg", "x/c.jpg: is &lt;damaged&gt;"]
    assert "failed" not in index_page([finished("a.tif")], {}).lower()


def test_page_of_a_scene_counts_every_tank_at_the_first_position_of_the_slider() -> None:
    shown = detections("a.tif")
    page = scene_page(open_scene(np.zeros((300, 400, 3), np.uint8)), shown, summarise(shown, "a.tif"), 0.41704)
    slider = re.search(r'type="range" min="([\d.]+)" max="1" step="0.001" value="([\d.]+)"', page)
    assert slider
    assert slider[1] == slider[2]
    assert all(float(slider[1]) <= float(score) for score in re.findall(r'"score": ([\d.]+)', page))
    assert "2 of 2 tanks" in page


@pytest.mark.parametrize("name", ["audit", "comparison", "index", "page", "scene", "score"])
def test_templates_fit_phones_and_load_nothing(name: str) -> None:
    text = (files("oil_storage.reporting") / "templates" / f"{name}.html").read_text(encoding="utf-8")
    assert "http" not in text
    if name in ("page", "scene"):
        assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    else:
        assert text.startswith('{% extends "page.html" %}')
