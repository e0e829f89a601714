import numpy as np
import pytest
import shapely
from shapely.geometry import mapping

from oil_storage.annotations.antimeridian import continuous, cut, joined, nearest
from oil_storage.annotations.boxes import rings


def ring(west: float, east: float) -> np.ndarray:
    """Return a ring ``(1, 5, 2)`` between two meridians; longitudes beyond 180 are wrapped."""
    corners = rings(np.array([[west, 10.0, east, 11.0]])).reshape(1, 5, 2)
    return np.dstack([nearest(corners[..., 0], 0), corners[..., 1]])


def test_ring_that_crosses_the_antimeridian_is_cut_into_two_counter_clockwise_polygons() -> None:
    (whole,) = cut(ring(179.5, 181.25))
    assert whole.geom_type == "MultiPolygon"
    assert sorted(part.bounds for part in whole.geoms) == [(-180, 10, -178.75, 11), (179.5, 10, 180, 11)]
    assert all(part.exterior.is_ccw for part in whole.geoms)
    assert whole.area == pytest.approx(1.75)


@pytest.mark.parametrize(("west", "east"), [(-3.0, 2.0), (179.0, 180.0), (180.0, 181.0), (-180.0, -179.0)])
def test_ring_on_one_side_of_the_antimeridian_stays_one_polygon(west: float, east: float) -> None:
    (whole,) = cut(ring(west, east))
    assert whole.geom_type == "Polygon"
    assert whole.exterior.is_ccw
    assert whole.area == pytest.approx(east - west)
    assert -180 <= whole.bounds[0] <= whole.bounds[2] <= 180


def test_no_rings_give_no_polygons() -> None:
    assert len(cut(np.empty((0, 5, 2)))) == 0


def test_continuous_ring_has_no_jump() -> None:
    unwrapped = continuous(ring(179.5, 181.25)[0])
    assert np.ptp(unwrapped[:, 0]) == pytest.approx(1.75)
    assert unwrapped[:, 0].max() == pytest.approx(181.25)
    np.testing.assert_array_equal(continuous(ring(-3, 2)), ring(-3, 2))


def test_nearest_longitude_is_within_half_a_turn() -> None:
    np.testing.assert_allclose(nearest(np.array([-179.5, 179.5, 540.0, np.inf]), 180.2), [180.5, 179.5, 180.0, np.nan])


def test_parts_that_were_cut_are_joined_and_other_parts_are_not() -> None:
    (whole,) = cut(ring(179.5, 181.25))
    east, west = (list(map(list, part[0])) for part in mapping(whole)["coordinates"])
    other = shapely.get_coordinates(shapely.box(179.0, 12, 180, 13)).tolist()
    (together,) = joined([east, west])
    assert sorted(together) == sorted([*east, *west])
    assert joined([other, west]) == [other, west]  # at other latitudes
    assert len(joined([west, other, east])) == 2
    assert joined([other]) == [other]
