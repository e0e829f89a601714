import numpy as np
import pytest

from oil_storage.audit.alignment.evidence import SceneEvidence
from oil_storage.audit.alignment.set_error import NATURAL_SIZE, SetError, is_loose, loss


def scenes(shifts: np.ndarray, side: float = 20.0, size: tuple[float, float] = (1.0, 1.0)) -> list[SceneEvidence]:
    measured = (size[0] * NATURAL_SIZE, size[1] * NATURAL_SIZE)
    return [SceneEvidence(str(i), side=side, shift=(x, y), size=measured) for i, (x, y) in enumerate(shifts.tolist())]


def test_loss_is_that_of_shifted_boxes() -> None:
    assert loss((0.0, 0.0)) == 0
    assert loss((0.5, 0.0)) == pytest.approx(1 - 0.5 / 1.5)
    assert loss((-0.5, 0.5)) == pytest.approx(1 - 0.25 / 1.75)
    assert loss((1.0, 0.0)) == 1


def test_common_error_is_close_to_the_true_error_within_its_uncertainty() -> None:
    rng = np.random.default_rng(0)
    errors, stated = [], []
    for _ in range(300):
        found = SetError.of(scenes(rng.normal((3.0, -1.0), 2.0, (25, 2)), size=(1.1, 1.2)))
        errors.append(np.subtract(found.shift, (3.0, -1.0)))
        stated.append(found.shift_error)
    assert np.std(errors) == pytest.approx(np.mean(stated), rel=0.15)
    assert found.size == pytest.approx((1.1, 1.2))


def test_sure_loss_decreases_with_the_uncertainty() -> None:
    same = SetError.of(scenes(np.full((9, 2), 2.0)))
    assert same.sure_loss == pytest.approx(same.loss)
    assert same.loss == pytest.approx(loss((0.1, 0.1)))
    spread = SetError.of(scenes(np.random.default_rng(0).normal(2.0, 3.0, (9, 2))))
    assert spread.sure_loss < 0.5 * spread.loss


def test_loss_depends_on_the_shift_in_box_sides() -> None:
    small, large = (SetError.of(scenes(np.full((5, 2), 3.0), side)) for side in (18.0, 112.0))
    assert small.loss > 0.4
    assert large.loss < 0.11


@pytest.mark.parametrize(
    ("shift", "size", "expected"),
    [
        ((0.0, 0.0), (1.0, 1.0), True),
        ((0.07, -0.07), (1.15, 1.15), True),
        ((0.1, 0.0), (1.0, 1.0), False),
        ((0.0, 0.15), (1.2, 1.15), False),
        ((0.0, 0.0), (2.0, 1.0), False),
    ],
)
def test_loose_boxes_cover_their_objects(shift: tuple[float, float], size: tuple[float, float], expected: bool) -> None:
    measured = (size[0] * NATURAL_SIZE, size[1] * NATURAL_SIZE)
    assert is_loose(shift, measured) == expected
    is_excused = expected and min(size) > 1
    common = SetError.of(scenes(np.multiply([shift] * 5, 20.0), size=size))
    assert common.loss == pytest.approx(0 if is_excused else loss(shift))
