import numpy as np

from oil_storage.preparation.alignment import GradientField
from oil_storage.preparation.alignment.roundness import roundness, roundness_nearby, tightened
from tests.preparation.alignment.discs import scene_of_discs


def test_discs_are_round_and_their_images_outside_are_not() -> None:
    pixels, boxes = scene_of_discs(0)
    field = GradientField.of(pixels)
    assert np.median(roundness(field, tightened(boxes))) > 0.6
    assert (roundness(field, boxes + np.float32(5000)) == 0).all()
    assert len(roundness(field, boxes[:0])) == 0


def test_every_other_angle_tells_nearly_the_same() -> None:
    pixels, boxes = scene_of_discs(1)
    field = GradientField.of(pixels)
    difference = roundness(field, tightened(boxes)) - roundness(field, tightened(boxes), sparse=2)
    assert 0 < np.abs(difference).mean() < 0.05


def test_a_box_drawn_a_little_aside_is_round_nearby() -> None:
    pixels, boxes = scene_of_discs(2)
    field = GradientField.of(pixels)
    aside = boxes + np.float32(0.1) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    assert np.median(roundness_nearby(field, aside)) > np.median(roundness(field, tightened(aside))) + 0.1
    assert np.median(roundness_nearby(field, aside)) > 0.7
