from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.warp import transform

from oil_storage.audit.same_ground import footprints, from_coordinates
from oil_storage.georeference import Georeference
from oil_storage.scene import Scene

NORTH_UP = (2.0, 0.0, 595_000.0, 0.0, -2.0, 5_750_000.0)


def scene(name: str, place: Georeference | None) -> Scene:
    return Scene(name, Path(f"{name}.tif"), 100, 80, np.zeros((0, 4), np.float32), place)


def reprojected(crs: str, shift: float) -> Georeference:
    """The place of a scene ``shift`` metres east of that at :data:`NORTH_UP`, in another system."""
    east, north = np.array([(0, 0), (200, 0), (0, -160)]).T + np.array([[595_000 + shift], [5_750_000]])
    (x, right, low), (y, right_y, low_y) = transform("EPSG:32631", crs, east, north)
    sides = (right - x) / 100, (low - x) / 80, x, (right_y - y) / 100, (low_y - y) / 80, y
    return Georeference(crs, sides)


def test_areas_are_longitudes_and_latitudes() -> None:
    area = footprints([scene("a", Georeference("EPSG:32631", NORTH_UP))])["a"]
    (x,), (y,) = transform("EPSG:32631", "OGC:CRS84", [595_100], [5_749_920])
    assert shapely.contains_xy(area, x, y)
    assert shapely.get_coordinates(area.centroid)[0] == pytest.approx((x, y), abs=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:32632", "EPSG:3857", "EPSG:4326"])
@pytest.mark.parametrize(("shift", "shared"), [(0, 1.0), (100, 0.5), (190, 0.05), (201, None)])
def test_overlaps_are_found_across_coordinate_systems(crs: str, shift: float, shared: float | None) -> None:
    scenes = [scene("a", Georeference("EPSG:32631", NORTH_UP)), scene("b", reprojected(crs, shift))]
    overlaps = from_coordinates(footprints(scenes))
    assert [overlap.shared for overlap in overlaps] == ([pytest.approx(shared, abs=0.003)] if shared else [])


def test_scenes_that_are_nowhere_on_the_earth_are_left_out() -> None:
    own = Georeference(None, (1.0, 0.0, 5.0, 0.0, 1.0, 5.0))
    lost = Georeference("EPSG:32631", (2.0, 0.0, float("inf"), 0.0, -2.0, 0.0))
    assert footprints([scene("a", None), scene("b", own), scene("c", own), scene("d", lost)]) == {}
