import cv2
import numpy as np
import pytest

from oil_storage.audit.fingerprint import POINTS, fingerprint
from tests.audit.test_overlaps import Image, ground

SIDE = 640


def test_points_cover_areas_of_low_contrast_beside_a_town() -> None:
    fields, town = ground(0, SIDE, SIDE), ground(1, SIDE, SIDE)
    image = np.where(np.arange(SIDE)[None, :, None] < 0.95 * SIDE, town, fields // 8 + 90).astype(np.uint8)
    points = fingerprint("scene", image).points
    assert len(points) == POINTS
    assert (points[:, 0] > 0.95 * SIDE).sum() > 0.03 * POINTS


@pytest.mark.parametrize(
    ("height", "width", "reduction"),
    [
        (320, 500, 1),
        (923, 1083, 923 / 640),
        *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in [(2560, 2560, 4), (300, 33_000, 33_000 / 8000)]),
    ],
)
def test_fingerprint_covers_the_scene_except_for_a_partial_pixel(height: int, width: int, reduction: float) -> None:
    mark = fingerprint("scene", ground(2, height, width))
    assert mark.reduction == reduction
    assert 0 <= height - mark.height < 2 * reduction
    assert mark.picture.shape == (round(mark.height / reduction / 2), round(mark.width / reduction / 2))
    assert (mark.points[:, :2] > 0).all()
    assert (mark.points[:, :2] < (mark.width, mark.height)).all()


def test_picture_is_robust_to_brightness_and_contrast() -> None:
    image = ground(3, SIDE, SIDE)
    first, second = (fingerprint("scene", scene).picture for scene in (image, (image * 0.6 + 30).astype(np.uint8)))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.98


def test_mirrored_fingerprint_equals_that_of_the_mirrored_image() -> None:
    image = ground(4, SIDE, SIDE)
    mirrored = fingerprint("scene", image).mirrored()
    expected = fingerprint("scene", np.ascontiguousarray(image[:, ::-1]))
    assert np.abs(mirrored.picture.astype(int) - expected.picture).max() <= 1
    positions = expected.points[:, None, :2] - mirrored.points[None, :, :2]
    distance = np.hypot(*positions.transpose(2, 0, 1))
    is_close = distance.min(axis=1) < 0.5
    assert is_close.mean() > 0.7
    pairs = np.stack([np.flatnonzero(is_close), distance.argmin(axis=1)[is_close]])
    turn = expected.points[pairs[0], 3] - mirrored.points[pairs[1], 3]
    difference = np.abs(expected.descriptors[pairs[0]].astype(int) - mirrored.descriptors[pairs[1]]).mean(axis=1)
    assert (np.cos(turn) > 0.99).mean() > 0.7  # a point may have two directions
    assert (difference < 10).mean() > 0.7


@pytest.mark.parametrize("level", [0, 255])
def test_empty_areas_are_not_ground(level: int) -> None:
    image: Image = ground(5, 320, 320)
    cv2.rectangle(image, (0, 0), (160, 320), (level,) * 3, -1)
    mark = fingerprint("scene", image)
    assert not mark.picture[:, :80].any()
    assert mark.picture[:, 84:].all()
    assert (mark.points[:, 0] > 160).all()
