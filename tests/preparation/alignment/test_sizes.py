import numpy as np
import pytest

from oil_storage.preparation.alignment import GradientField, faults
from oil_storage.preparation.alignment.faults import Fault, plant
from oil_storage.preparation.alignment.sizes import common_size
from tests.preparation.alignment.discs import scene_of_discs


@pytest.mark.parametrize("size", [(0.5, 0.5), (0.97, 0.97), (1.03, 1.03), (1.25, 1.25), (2.0, 2.0), (1.25, 1.0)])
def test_a_common_size_is_measured(size: tuple[float, float]) -> None:
    pixels, boxes = scene_of_discs(0)
    field = GradientField.of(pixels)
    right = common_size(field, boxes)
    measured = common_size(field, plant(Fault(faults.RESIZED, size), boxes, 900, 700))
    assert np.divide(measured, right) == pytest.approx(size, rel=0.02 if size[0] == size[1] else 0.08)


def test_a_shadow_at_two_sides_is_no_size() -> None:
    pixels, boxes = scene_of_discs(1)
    right = common_size(GradientField.of(pixels), boxes)
    for x1, y1, x2, y2 in boxes.astype(int).tolist():  # dark, and stronger than the edge, a few pixels off
        pixels[y2 + 3 : y2 + 5, x1:x2] = 0
        pixels[y1:y2, x2 + 3 : x2 + 5] = 0
    assert common_size(GradientField.of(pixels), boxes) == pytest.approx(right, rel=0.03)


def test_a_size_that_most_boxes_have_is_not_blurred_by_the_others() -> None:
    pixels, boxes = scene_of_discs(2)
    field = GradientField.of(pixels)
    some = boxes.copy()
    some[::3] = plant(Fault(faults.RESIZED, (1.5, 1.5)), boxes[::3], 900, 700)
    assert common_size(field, some) == pytest.approx(common_size(field, boxes), rel=0.03)
