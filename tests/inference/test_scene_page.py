import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from oil_storage.georeference import Georeference
from oil_storage.imagery import open_scene
from oil_storage.inference.scene_page import scene_page
from oil_storage.inference.summaries import summarise
from tests.inference.test_map_files import BOXES, TURNED, two_tanks

CLICK = """<script>addEventListener("load", () => setTimeout(() => {
  const box = Object.values(map._layers).find(layer => layer instanceof L.Rectangle);
  const inside = map.latLngToContainerPoint(box.getBounds().getCenter());
  const map_at = document.getElementById("map").getBoundingClientRect();
  for (const kind of ["mousemove", "mousedown", "mouseup", "click"])
    document.querySelector("canvas").dispatchEvent(new MouseEvent(
      kind, {bubbles: true, clientX: map_at.left + inside.x, clientY: map_at.top + inside.y}));
}, 300))</script></body>"""


def page(georeference: Georeference | None, boxes: Sequence[Sequence[float]] = BOXES) -> str:
    detections = two_tanks(georeference, boxes)
    image = open_scene(np.zeros((600, 800, 3), np.uint8))
    return scene_page(image, detections, summarise(detections, "a.v2.tif"), 0.4)


def test_page_needs_nothing_from_elsewhere() -> None:
    text = page(TURNED)
    assert "2 tanks from a score of 0.4 up" in text
    assert "1.3 m per pixel" in text
    assert not re.search(r"<(script|link|img)[^>]*(src|href)", text)
    assert "lengths are pixels" not in text
    assert "lengths are pixels" in page(None)
    assert "0 tanks" in page(None, [])
    assert "(c) 2010" in text  # Leaflet's notice, as its licence asks


@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium on the PATH to open the page with")
def test_click_on_a_box_shows_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(TURNED).replace("</body>", CLICK))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", "--window-size=1200,800"]
    seen = subprocess.run(["chromium", *flags, "--dump-dom", path.as_uri()], capture_output=True, text=True, check=True)
    popup = re.search(r'leaflet-popup-content".*?</table>', seen.stdout, re.DOTALL)
    assert popup
    assert "<td>score</td><td>0.900</td>" in popup[0]
    assert re.search(r"<td>diameter</td><td>40\.\d m</td>", popup[0])
