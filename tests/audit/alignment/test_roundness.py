import numpy as np
import pytest

from oil_storage.audit.alignment import GradientField
from oil_storage.audit.alignment.roundness import FLAT, roundness, roundness_nearby, tightened
from tests.audit.alignment.discs import scene_of_discs


def test_discs_are_round_and_places_outside_are_not() -> None:
    pixels, boxes = scene_of_discs(0)
    field = GradientField.of(pixels)
    assert np.median(roundness(field, tightened(boxes))) > 0.6
    assert (roundness(field, boxes + np.float32(5000)) == 0).all()
    assert len(roundness(field, boxes[:0])) == 0


def test_sparse_angles_give_nearly_the_same_roundness() -> None:
    pixels, boxes = scene_of_discs(1)
    field = GradientField.of(pixels)
    difference = roundness(field, tightened(boxes)) - roundness(field, tightened(boxes), sparse=2)
    assert 0 < np.abs(difference).mean() < 0.05


def test_slightly_shifted_box_is_round_nearby() -> None:
    pixels, boxes = scene_of_discs(2)
    field = GradientField.of(pixels)
    aside = boxes + np.float32(0.1) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    assert np.median(roundness_nearby(field, aside)) > np.median(roundness(field, tightened(aside))) + 0.1
    assert np.median(roundness_nearby(field, aside)) > 0.7


def test_gradients_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    field = GradientField.of(scene_of_discs(3, width=300, height=200, discs=0)[0])
    x, y = np.random.default_rng(0).uniform(-5, 305, (2, 500, 8)).astype(np.float32)
    whole = field.at(x, y)
    monkeypatch.setattr("oil_storage.audit.alignment.roundness.BLOCK", 64)
    assert np.abs(whole).max() > FLAT
    assert np.allclose(field.at(x, y), whole, atol=1e-3)


@pytest.mark.parametrize("shape", [(33_000, 16), (16, 33_000)])
def test_images_may_be_larger_than_the_opencv_limit(shape: tuple[int, int]) -> None:
    ramp = np.arange(33_000) % 200
    pixels = np.broadcast_to(ramp[:, None] if shape[0] > shape[1] else ramp, shape).astype(np.uint8)
    field = GradientField.of(np.repeat(pixels[..., None], 3, axis=2))
    far, near = np.float32([[32_950.5]]), np.float32([[8.0]])
    x, y = (near, far) if shape[0] > shape[1] else (far, near)
    assert np.allclose(sorted(field.at(x, y).ravel()), [0, 1], atol=1e-3)
