import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
from rasterio.warp import transform
from shapely.geometry import Polygon, shape

from oil_storage.evaluation.detections_file import read_detections
from oil_storage.georeference import Georeference
from oil_storage.inference.map_files import NOTE, summary, write
from oil_storage.inference.scene_detector import SceneDetections
from oil_storage.inference.sites import measure

TURNED = Georeference("EPSG:32631", (1.2, 0.5, 595_000.0, 0.5, -1.2, 5_750_000.0))
DEGREES = Georeference("EPSG:4326", (1.8e-5, 0.0, 4.3, 0.0, -1.1e-5, 51.9))  # 1.2 m a pixel there
NORTHWARD = Georeference("EPSG:32631", (1.2, 0.0, 595_000.0, 0.0, 1.2, 5_750_000.0))
"""Rows run to the north."""


def found(place: Georeference | None, boxes: list[list[float]] | None = None) -> SceneDetections:
    there = [[10, 20, 40, 52], [100.5, 20, 120, 40.25]] if boxes is None else boxes
    scores = np.linspace(0.9, 0.5, len(there)).astype(np.float32)
    return SceneDetections("a.v2.tif", 800, 600, np.array(there, np.float32).reshape(-1, 4), scores, place)


@pytest.mark.parametrize("place", [None, TURNED])
def test_every_format_says_the_same_in_pixels(tmp_path: Path, place: Georeference | None) -> None:
    one = found(place)
    paths = write(one, measure(one), tmp_path)
    assert [path.name for path in paths] == ["a.v2.geojson", "a.v2.gpkg", "a.v2.csv", "a.v2.coco.json"]
    for path in paths[2:] if place else [paths[0], *paths[2:]]:
        back = read_detections(path, {}, {})["a.v2"]
        np.testing.assert_allclose(back.boxes, one.boxes, atol=0.01)
        np.testing.assert_allclose(back.scores, one.scores, atol=1e-4)
    assert json.loads(paths[3].read_text())["images"][0]["file_name"] == "a.v2.tif"


def test_tanks_lie_where_they_are_on_earth(tmp_path: Path) -> None:
    one = found(TURNED)
    geojson = json.loads(write(one, measure(one), tmp_path)[0].read_text())
    assert "crs" not in geojson
    for feature, box in zip(geojson["features"], one.boxes.astype(float), strict=True):
        polygon = shape(feature["geometry"])
        x, y = transform("OGC:CRS84", TURNED.crs, *[[value] for value in feature["properties"]["centre"]])
        middle = TURNED.to_pixels(np.array([[x[0], y[0]]]))[0]
        assert middle == pytest.approx((box[:2] + box[2:]) / 2, abs=0.01)
        corners = np.array(transform("OGC:CRS84", TURNED.crs, *polygon.exterior.xy)).T
        wanted = Polygon(TURNED.to_world(box[[0, 1, 0, 3, 2, 3, 2, 1]].reshape(4, 2)))
        assert Polygon(corners).symmetric_difference(wanted).area < 0.01 * wanted.area
        assert feature["properties"]["diameter_m"] == pytest.approx(1.3 * (box[2:] - box[:2]).mean(), rel=0.01)


@pytest.mark.parametrize("place", [TURNED, NORTHWARD])
def test_rings_run_counter_clockwise_as_rfc_7946_asks(tmp_path: Path, place: Georeference) -> None:
    one = found(place)
    geojson = json.loads(write(one, measure(one), tmp_path)[0].read_text())
    assert len(geojson["features"]) == 2
    assert all(shape(feature["geometry"]).exterior.is_ccw for feature in geojson["features"])


@pytest.mark.parametrize("place", [TURNED, DEGREES, NORTHWARD])
@pytest.mark.parametrize("number", [0, 1])  # GeoJSON, GeoPackage
def test_a_gis_finds_every_tank_where_it_is(tmp_path: Path, number: int, place: Georeference) -> None:
    one = found(place)
    frame = geopandas.read_file(write(one, measure(one), tmp_path)[number])
    centres = frame.geometry.to_crs(TURNED.crs).centroid
    boxes = one.boxes.astype(float)
    wanted = np.array(transform(place.crs, TURNED.crs, *place.to_world((boxes[:, :2] + boxes[:, 2:]) / 2).T)).T
    assert np.hypot(centres.x - wanted[:, 0], centres.y - wanted[:, 1]).max() < 0.01  # metres
    np.testing.assert_allclose(frame["score"], one.scores, atol=1e-4)
    assert list(frame["site"]) == [1, 1]
    np.testing.assert_allclose(frame["diameter_m"], measure(one).diameters, atol=0.01)


def test_a_geopackage_of_a_scene_without_a_place_is_in_pixels(tmp_path: Path) -> None:
    one = found(None)
    frame = geopandas.read_file(write(one, measure(one), tmp_path)[1])
    assert frame.geometry[0].bounds == (10, 20, 40, 52)
    assert "diameter_px" in frame
    nothing = found(TURNED, [])
    assert len(geopandas.read_file(write(nothing, measure(nothing), tmp_path)[1])) == 0


def test_a_scene_without_a_place_says_that_it_has_none(tmp_path: Path) -> None:
    one = found(None)
    geojson = json.loads(write(one, measure(one), tmp_path)[0].read_text())
    assert (geojson["crs"], geojson["note"]) == (None, NOTE)
    assert "diameter_px" in geojson["features"][0]["properties"]
    assert geojson["features"][0]["geometry"]["coordinates"][0][0] == [10, 20]


def test_the_summary_counts_tanks_sizes_and_sites() -> None:
    one = found(None)
    known = summary(one, measure(one))
    assert known["tanks"] == 2
    assert known["diameters_px"] == {"0-10": 0, "10-20": 1, "20-30": 0, "30-40": 1}
    (site,) = known["sites"]
    assert site["tanks"] == 2
    assert site["roof_area_px2"] == pytest.approx(np.pi / 4 * (31**2 + 19.875**2), abs=0.1)
    assert Polygon(site["outline"]).bounds == (10, 20, 120, 52)
    nothing = found(None, [])
    assert (summary(nothing, measure(nothing))["tanks"], summary(nothing, measure(nothing))["sites"]) == (0, [])
