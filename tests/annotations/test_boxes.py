import numpy as np
import pytest

from oil_storage.annotations.boxes import bounds, is_upright_box, plain_text, rounded, shortest

SQUARE = np.array([(10.0, 10), (30, 10), (30, 30), (10, 30)])


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - 20) @ np.array([[cosine, sine], [-sine, cosine]]) + 20


def test_bounds_contain_all_points() -> None:
    assert bounds(turned(SQUARE, 45)) == pytest.approx((20 - 200**0.5, 20 - 200**0.5, 20 + 200**0.5, 20 + 200**0.5))
    assert np.isnan(bounds(np.array([(1.0, 2), (np.nan, 4)]))[0])


@pytest.mark.parametrize(("degrees", "upright"), [(0, True), (1, True), (90, True), (5, False), (45, False)])
def test_rotated_square_is_upright_if_the_angle_is_small_or_90_degrees(degrees: float, upright: bool) -> None:
    assert is_upright_box(turned(SQUARE, degrees)) == upright


def test_upright_box_may_have_any_order_and_additional_points() -> None:
    assert is_upright_box(np.vstack([SQUARE[[2, 0, 3, 1]], [(20, 10), (10, 10)]]))


def test_triangle_is_not_an_upright_box() -> None:
    assert not is_upright_box(SQUARE[:3])


def test_shortest_floats_convert_back_to_the_same_float32() -> None:
    rng = np.random.default_rng(0)
    boxes = (rng.uniform(0, 1, (200, 4)) * 10.0 ** rng.integers(-3, 6, (200, 1))).astype(np.float32)
    assert np.array_equal(np.array(shortest(boxes), dtype=np.float32), boxes)
    assert shortest(np.array([[0.1, 12, 2560, 1 / 3]], dtype=np.float32)) == [[0.1, 12, 2560, 0.33333334]]
    assert shortest(np.empty((0, 4), dtype=np.float32)) == []


@pytest.mark.parametrize(
    ("value", "written"), [(12.0, "12"), (12.5, "12.5"), (0.1, "0.1"), (1e-7, "0.0000001"), (123456.75, "123456.75")]
)
def test_plain_text_has_no_exponent_and_no_trailing_zeros(value: float, written: str) -> None:
    assert plain_text(value) == written


def test_rounded_keeps_two_decimals_and_non_finite_values() -> None:
    assert rounded((0.0049, -1e-9, 2560.0013, 7.126)) == (0, 0, 2560, 7.13)
    assert str(rounded((float("nan"), float("inf"), 1, 2))) == "(nan, inf, 1, 2)"
