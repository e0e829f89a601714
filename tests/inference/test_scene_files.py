import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import numpy as np
import pytest
from rasterio.warp import transform
from shapely.geometry import Polygon, shape

from oil_storage.evaluation.detections_file import read_detections
from oil_storage.evaluation.ground_truth import GroundTruth
from oil_storage.georeference import Georeference
from oil_storage.imagery import open_scene
from oil_storage.inference.scene_detections import NOTE, SceneDetections, summarise
from oil_storage.inference.scene_files import FORMATS, scene_page, write_formats

TURNED = Georeference("EPSG:32631", (1.2, 0.5, 595_000.0, 0.5, -1.2, 5_750_000.0))
DEGREES = Georeference("EPSG:4326", (1.8e-5, 0.0, 4.3, 0.0, -1.1e-5, 51.9))  # 1.2 m per pixel at this latitude
NORTHWARD = Georeference("EPSG:32631", (1.2, 0.0, 595_000.0, 0.0, 1.2, 5_750_000.0))
"""Georeference of a scene whose rows run to the north."""
BOXES = ((10, 20, 40, 52), (100.5, 20, 120, 40.25))


CLICK = """<script>addEventListener("load", () => setTimeout(() => {
  const box = Object.values(map._layers).find(layer => layer instanceof L.Rectangle);
  const inside = map.latLngToContainerPoint(box.getBounds().getCenter());
  const map_at = document.getElementById("map").getBoundingClientRect();
  for (const kind of ["mousemove", "mousedown", "mouseup", "click"])
    document.querySelector("canvas").dispatchEvent(new MouseEvent(
      kind, {bubbles: true, clientX: map_at.left + inside.x, clientY: map_at.top + inside.y}));
}, 300))</script></body>"""


def two_tanks(georeference: Georeference | None, boxes: Sequence[Sequence[float]] = BOXES) -> SceneDetections:
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return SceneDetections("a.v2.tif", 800, 600, np.array(boxes, np.float32).reshape(-1, 4), scores, georeference)


def written(detections: SceneDetections, folder: Path) -> list[Path]:
    """Write detections; return the files in the order of FORMATS."""
    write_formats(detections, folder)
    return [folder / f"a.v2{ending}" for ending in FORMATS]


@pytest.mark.parametrize("georeference", [None, TURNED])
def test_all_formats_contain_the_same_boxes(tmp_path: Path, georeference: Georeference | None) -> None:
    detections = two_tanks(georeference)
    paths = written(detections, tmp_path)
    assert [path.name for path in paths] == ["a.v2.geojson", "a.v2.gpkg", "a.v2.csv", "a.v2.coco.json"]
    for path in paths[2:] if georeference else [paths[0], *paths[2:]]:
        back = read_detections(path, GroundTruth({}))["a.v2"]
        np.testing.assert_allclose(back.boxes, detections.boxes, atol=0.01)
        np.testing.assert_allclose(back.scores, detections.scores, atol=1e-4)
    assert json.loads(paths[3].read_text())["images"][0]["file_name"] == "a.v2.tif"


def test_geojson_polygons_cover_the_tanks(tmp_path: Path) -> None:
    detections = two_tanks(TURNED)
    geojson = json.loads(written(detections, tmp_path)[0].read_text())
    assert "crs" not in geojson
    for feature, box in zip(geojson["features"], detections.boxes.astype(float), strict=True):
        polygon = shape(feature["geometry"])
        x, y = transform("OGC:CRS84", TURNED.crs, *[[value] for value in feature["properties"]["centre"]])
        middle = TURNED.to_pixels(np.array([[x[0], y[0]]]))[0]
        assert middle == pytest.approx((box[:2] + box[2:]) / 2, abs=0.01)
        corners = np.array(transform("OGC:CRS84", TURNED.crs, *polygon.exterior.xy)).T
        expected = Polygon(TURNED.to_world(box[[0, 1, 0, 3, 2, 3, 2, 1]].reshape(4, 2)))
        assert Polygon(corners).symmetric_difference(expected).area < 0.01 * expected.area
        assert feature["properties"]["diameter_m"] == pytest.approx(1.3 * (box[2:] - box[:2]).mean(), rel=0.01)


@pytest.mark.parametrize("georeference", [TURNED, NORTHWARD])
def test_geojson_rings_are_counter_clockwise_as_rfc_7946_requires(tmp_path: Path, georeference: Georeference) -> None:
    detections = two_tanks(georeference)
    geojson = json.loads(written(detections, tmp_path)[0].read_text())
    assert len(geojson["features"]) == 2
    assert all(shape(feature["geometry"]).exterior.is_ccw for feature in geojson["features"])


@pytest.mark.parametrize("georeference", [TURNED, DEGREES, NORTHWARD])
@pytest.mark.parametrize("number", [0, 1])  # GeoJSON, GeoPackage
def test_gis_files_have_correct_positions_scores_and_diameters(
    tmp_path: Path, number: int, georeference: Georeference
) -> None:
    detections = two_tanks(georeference)
    frame = geopandas.read_file(written(detections, tmp_path)[number])
    centres = frame.geometry.to_crs(TURNED.crs).centroid
    expected = np.array(transform(georeference.crs, TURNED.crs, *georeference.to_world(detections.centres).T)).T
    assert np.hypot(centres.x - expected[:, 0], centres.y - expected[:, 1]).max() < 0.01  # metres
    np.testing.assert_allclose(frame["score"], detections.scores, atol=1e-4)
    assert list(frame["site"]) == [1, 1]
    np.testing.assert_allclose(frame["diameter_m"], detections.diameters, atol=0.01)


@pytest.mark.parametrize("longitude", [179.9995, -180.0005])
def test_tank_at_the_antimeridian_is_one_cut_feature_and_lies_on_the_scene(tmp_path: Path, longitude: float) -> None:
    georeference = Georeference("EPSG:4326", (1e-5, 0.0, longitude, 0.0, -1e-5, 65.0))
    detections = two_tanks(georeference, [(40, 20, 60, 40), (70, 20, 90, 40)])
    paths = written(detections, tmp_path)
    crossing, beyond = json.loads(paths[0].read_text())["features"]
    assert [crossing["geometry"]["type"], beyond["geometry"]["type"]] == ["MultiPolygon", "Polygon"]
    assert [part.bounds for part in shape(crossing["geometry"]).geoms] == [
        pytest.approx((179.9999, 64.9996, 180, 64.9998)),
        pytest.approx((-180, 64.9996, -179.9999, 64.9998)),
    ]
    assert beyond["properties"]["centre"] == pytest.approx([-179.9997, 64.9997])
    stored = geopandas.read_file(paths[1], layer="tanks")
    assert stored.total_bounds == pytest.approx([longitude + 4e-4, 64.9996, longitude + 9e-4, 64.9998])
    (site,) = summarise(detections, "a.tif").sites
    assert np.ptp([x for x, _ in site.outline]) == pytest.approx(5e-4)


def test_geopackage_has_a_qgis_style_that_colours_by_score_and_labels(tmp_path: Path) -> None:
    path = written(two_tanks(TURNED), tmp_path)[1]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ((layer, schema, column, is_default, qml),) = database.execute(
            "SELECT f_table_name, f_table_schema, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
    assert (layer, schema, column, is_default) == (
        "tanks",
        "",
        geopandas.read_file(path, layer="tanks").active_geometry_name[:4],
        1,
    )
    style = ElementTree.fromstring(qml)
    renderer, text = style.find("renderer-v2"), style.find("labeling/settings/text-style")
    assert (style.get("labelsEnabled"), renderer.get("type"), renderer.get("attr")) == ("1", "graduatedSymbol", "score")
    assert '"diameter_m"' in text.get("fieldName")
    bounds = [(float(part.get("lower")), float(part.get("upper"))) for part in renderer.find("ranges")]
    assert (bounds[0][0], bounds[-1][1]) == (0, 1)
    assert all(high == low for (_, high), (low, _) in pairwise(bounds))
    names = {symbol.get("name") for symbol in renderer.find("symbols")}
    assert {part.get("symbol") for part in renderer.find("ranges")} == names
    assert set(geopandas.list_layers(path)["name"]) == {"tanks", "layer_styles"}


def test_geopackage_is_in_pixels_without_a_georeference(tmp_path: Path) -> None:
    detections = two_tanks(None)
    frame = geopandas.read_file(written(detections, tmp_path)[1], layer="tanks")
    assert frame.geometry[0].bounds == (10, 20, 40, 52)
    assert "diameter_px" in frame
    nothing = two_tanks(TURNED, [])
    assert len(geopandas.read_file(written(nothing, tmp_path)[1], layer="tanks")) == 0


def test_geojson_is_in_pixels_with_a_note_without_a_georeference(tmp_path: Path) -> None:
    detections = two_tanks(None)
    geojson = json.loads(written(detections, tmp_path)[0].read_text())
    assert (geojson["crs"], geojson["note"]) == (None, NOTE)
    assert "diameter_px" in geojson["features"][0]["properties"]
    assert geojson["features"][0]["geometry"]["coordinates"][0][0] == [10, 20]


def page(georeference: Georeference | None, boxes: Sequence[Sequence[float]] = BOXES) -> str:
    detections = two_tanks(georeference, boxes)
    image = open_scene(np.zeros((600, 800, 3), np.uint8))
    return scene_page(image, detections, summarise(detections, "a.v2.tif"), 0.4)


def test_page_is_self_contained() -> None:
    text = page(TURNED)
    assert "2 of 2 tanks" in text
    assert 'type="range" min="0.4" max="1" step="0.001" value="0.4"' in text
    assert 'type="checkbox" checked> Show boxes' in text
    assert 'id="legend"' in text
    assert "1.3 m per pixel" in text
    assert not re.search(r"<(script|link|img)[^>]*(src|href)", text)
    assert "lengths are in pixels" not in text
    assert "lengths are in pixels" in page(None)
    assert "0 tanks" in page(None, [])
    assert "(c) 2010" in text  # Leaflet's licence requires its copyright notice


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
def test_click_on_a_box_shows_score_and_diameter(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(TURNED).replace("</body>", CLICK))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", "--window-size=1200,800"]
    seen = subprocess.run(["chromium", *flags, "--dump-dom", path.as_uri()], capture_output=True, text=True, check=True)
    popup = re.search(r'leaflet-popup-content".*?</table>', seen.stdout, re.DOTALL)
    assert popup
    assert "<td>score</td><td>0.900</td>" in popup[0]
    assert re.search(r"<td>diameter</td><td>40\.\d m</td>", popup[0])
