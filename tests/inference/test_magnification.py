import math
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from oil_storage.errors import UserError
from oil_storage.imagery import ArrayImage, open_scene
from oil_storage.inference.magnification import Magnification, accuracy_warning, magnification_of
from tests.labelled_scenes import write_geotiff

DEGREE = 111_195.0
"""Metres of a degree of latitude, roughly."""


def at(path: Path, crs: str, x: float, y: float, side: tuple[float, float]) -> Magnification:
    write_geotiff(path, 40, 40, crs, Affine(side[0], 0, x, 0, -side[1], y))
    return magnification_of(open_scene(path), wanted=1.2)


def test_scene_is_magnified_by_the_ratio_of_its_resolution_to_the_wanted_one(tmp_path: Path) -> None:
    metres = at(tmp_path / "utm.tif", "EPSG:32631", 5e5, 5e6, (0.3, 0.3))
    assert metres.zoom == pytest.approx((0.25, 0.25), rel=1e-3)
    assert metres.origin == "scene"
    feet = at(tmp_path / "feet.tif", "EPSG:2263", 1e6, 2e5, (1, 1))
    assert feet.zoom == pytest.approx((0.254, 0.254), rel=1e-3)
    mercator = at(tmp_path / "mercator.tif", "EPSG:3857", 0, 8.4e6, (0.6, 0.6))  # latitude 60: twice as large as it is
    assert mercator.zoom == pytest.approx((0.25, 0.25), rel=2e-2)
    side = 0.6 / DEGREE
    degrees = at(tmp_path / "degrees.tif", "EPSG:4326", 10, 60, (side, side))
    assert degrees.zoom == pytest.approx((0.5 * math.cos(math.radians(60)), 0.5), rel=1e-2)


def test_scene_near_the_wanted_resolution_is_not_resampled(tmp_path: Path) -> None:
    assert at(tmp_path / "a.tif", "EPSG:32631", 5e5, 5e6, (1.1, 1.1)).zoom == (1, 1)
    assert at(tmp_path / "b.tif", "EPSG:32631", 5e5, 5e6, (1.5, 1.5)).zoom == pytest.approx((1.25, 1.25), rel=1e-3)


def test_stated_resolution_counts_only_where_the_scene_has_none(tmp_path: Path) -> None:
    array = ArrayImage(np.zeros((40, 40, 3), np.uint8))
    assert magnification_of(array, wanted=1.2) == Magnification((1, 1), None, "unknown")
    assert magnification_of(array, wanted=1.2, stated=0.3) == Magnification((0.25, 0.25), (0.3, 0.3), "stated")
    write_geotiff(tmp_path / "a.tif", 40, 40, "EPSG:32631", Affine(0.6, 0, 5e5, 0, -0.6, 5e6))
    scene = magnification_of(open_scene(tmp_path / "a.tif"), wanted=1.2, stated=0.3)
    assert scene.zoom == pytest.approx((0.5, 0.5), rel=1e-3)
    assert scene.origin == "scene"


def test_given_scale_overrides_the_resolution_and_no_wanted_resolution_magnifies_by_one(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", 40, 40, "EPSG:32631", Affine(0.6, 0, 5e5, 0, -0.6, 5e6))
    scene = open_scene(tmp_path / "a.tif")
    assert magnification_of(scene, wanted=1.2, scale=3.0).zoom == (3, 3)
    unknown = magnification_of(scene, wanted=None)
    assert unknown.zoom == (1, 1)
    assert unknown.resolution == pytest.approx((0.6, 0.6), rel=1e-3)


@pytest.mark.parametrize("zoom", [(0.1, 0.1), (0.222, 0.25), (1.0, 1.0), (3.3, 3.3), (3.5, 3.7), (8.0, 8.0)])
def test_windows_cover_the_scene_and_become_tiles_of_the_wanted_size(zoom: tuple[float, float]) -> None:
    magnification = Magnification(zoom)
    windows = magnification.windows(3000, 2000, tile=64, overlap=16)
    covered = np.zeros((2000, 3000), bool)
    for x1, y1, x2, y2 in windows:
        covered[y1:y2, x1:x2] = True
    assert covered.all()
    tile = magnification.tile(ArrayImage(np.zeros((2000, 3000, 3), np.uint8)), windows[0])
    assert tile.shape == pytest.approx((64, 64, 3), abs=5)
    assert max(tile.shape[:2]) <= 64


def test_shrinking_averages_and_enlarging_interpolates() -> None:
    stripes = ArrayImage(np.tile(np.array([0, 200], np.uint8), (8, 8))[..., None].repeat(3, axis=2))
    whole = np.array([0, 0, 16, 8])
    assert set(np.unique(Magnification((0.5, 0.5)).tile(stripes, whole))) == {100}
    mixed = Magnification((0.5, 2.0)).tile(stripes, whole)
    assert mixed.shape == (16, 8, 3)
    assert set(np.unique(mixed)) == {100}


def test_resolution_outside_the_measured_range_gives_a_warning() -> None:
    f1_by_gsd = {"3": 0.856, "0.3": 0.894, "1.2": 0.9}
    assert accuracy_warning(0.29, f1_by_gsd) is None
    assert accuracy_warning(2.1, f1_by_gsd) is None
    assert "F1 is 0.86 at 3 m" in str(accuracy_warning(8, f1_by_gsd))
    assert "F1 is 0.89 at 0.3 m" in str(accuracy_warning(0.1, f1_by_gsd))
    assert accuracy_warning(8, {}) is None


@pytest.mark.parametrize("side", [500.0, 1e-9])
def test_absurd_resolution_is_refused(side: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)a\.tif: .* needs a magnification of .*check the georeference"):
        at(tmp_path / "a.tif", "EPSG:32631", 5e5, 5e6, (side, side))
