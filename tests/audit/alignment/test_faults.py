import numpy as np
import pytest

from benchmarks.planted_faults import plant
from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.faults import Fault, undo

WIDTH, HEIGHT = 300, 200
PARAMETERS = {faults.SCALED: (0.5, 1.25), faults.RESIZED: (0.8, 1.5), faults.SHIFTED: (12.0, -3.5)}


@pytest.mark.parametrize("kind", [faults.NONE, *faults.DISCRETE, *PARAMETERS])
def test_undo_reverses_every_fault(kind: str) -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 150, (50, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 50, (50, 2))], axis=1).astype(np.float32)
    fault = Fault(kind, PARAMETERS.get(kind, ()))
    wrong = plant(fault, boxes, WIDTH, HEIGHT)
    assert np.allclose(undo(fault, wrong, WIDTH, HEIGHT), boxes, atol=1e-3)
    assert np.allclose(wrong, boxes, atol=1e-3) == (kind == faults.NONE)


def test_undo_orders_corners() -> None:
    assert undo(Fault(), np.array([[9, 2, 3, 8]], dtype=np.float32), 20, 20).tolist() == [[3, 2, 9, 8]]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(faults.SCALED, (0.8, 0.8)), "coordinates scaled by 0.800"),
        (Fault(faults.SCALED, (0.8, 1.0)), "coordinates scaled by 0.800 in x and 1.000 in y"),
        (Fault(faults.RESIZED, (1.25, 1.25)), "sizes scaled by 1.25 about the boxes' centres"),
        (Fault(faults.SHIFTED, (2.0, -3.0)), "shifted by (+2.0, -3.0) px"),
        (Fault(faults.ELSEWHERE, image="b"), "belonging to another image, b"),
        (Fault("transposed"), "transposed"),
    ],
)
def test_fault_has_a_description(fault: Fault, words: str) -> None:
    assert str(fault) == words
