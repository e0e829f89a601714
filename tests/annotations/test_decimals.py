import numpy as np
import pytest

from oil_storage.annotations.decimals import decimals, rounded, text


def test_decimals_are_short_and_read_back_as_the_same_float32() -> None:
    rng = np.random.default_rng(0)
    boxes = (rng.uniform(0, 1, (200, 4)) * 10.0 ** rng.integers(-3, 6, (200, 1))).astype(np.float32)
    assert np.array_equal(np.array(decimals(boxes), dtype=np.float32), boxes)
    assert decimals(np.array([[0.1, 12, 2560, 1 / 3]], dtype=np.float32)) == [(0.1, 12, 2560, 0.33333334)]
    assert decimals(np.empty((0, 4), dtype=np.float32)) == []


@pytest.mark.parametrize(
    ("value", "written"), [(12.0, "12"), (12.5, "12.5"), (0.1, "0.1"), (1e-7, "0.0000001"), (123456.75, "123456.75")]
)
def test_text_has_no_exponent_and_no_needless_zeros(value: float, written: str) -> None:
    assert text(value) == written


def test_noise_beyond_hundredths_is_dropped_and_odd_numbers_stay() -> None:
    assert rounded((0.0049, -1e-9, 2560.0013, 7.126)) == (0, 0, 2560, 7.13)
    assert str(rounded((float("nan"), float("inf"), 1, 2))) == "(nan, inf, 1, 2)"
