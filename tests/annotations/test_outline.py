import numpy as np
import pytest

from oil_storage.annotations.outline import bounds, is_upright_box

SQUARE = np.array([(10.0, 10), (30, 10), (30, 30), (10, 30)])


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - 20) @ np.array([[cosine, sine], [-sine, cosine]]) + 20


def test_bounds_hold_all_points() -> None:
    assert bounds(turned(SQUARE, 45)) == pytest.approx((20 - 200**0.5, 20 - 200**0.5, 20 + 200**0.5, 20 + 200**0.5))
    assert np.isnan(bounds(np.array([(1.0, 2), (np.nan, 4)]))[0])


@pytest.mark.parametrize(("degrees", "upright"), [(0, True), (1, True), (90, True), (5, False), (45, False)])
def test_a_turned_square_is_upright_within_half_a_pixel(degrees: float, upright: bool) -> None:
    assert is_upright_box(turned(SQUARE, degrees)) == upright


def test_order_and_further_points_on_the_edge_do_not_matter() -> None:
    assert is_upright_box(np.vstack([SQUARE[[2, 0, 3, 1]], [(20, 10), (10, 10)]]))


def test_a_triangle_is_no_box() -> None:
    assert not is_upright_box(SQUARE[:3])
