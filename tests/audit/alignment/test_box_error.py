import cv2
import numpy as np
import pytest

from benchmarks.planted_faults import plant
from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.box_error import CONTEXT, SIDE, common_error, cut_patches
from oil_storage.audit.alignment.faults import Fault
from tests.audit.alignment.discs import scene_of_discs


def grey_scene(seed: int = 0, discs: int = 40) -> tuple[np.ndarray, np.ndarray]:
    pixels, boxes = scene_of_discs(seed, discs=discs)
    return pixels[..., 0].copy(), boxes


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, 0.0), (3.0, -3.0), (-5.0, 4.0)])
def test_common_error_measures_a_shift(shift: tuple[float, float]) -> None:
    grey, boxes = grey_scene()
    assert common_error(grey, boxes + np.float32(shift * 2)).shift == pytest.approx(shift, abs=0.5)


@pytest.mark.parametrize(
    "size", [(0.4, 0.4), (0.8, 0.8), (0.97, 0.97), (1.25, 1.25), (2.5, 2.5), (1.25, 0.8), (1.0, 0.8)]
)
def test_common_error_measures_a_size(size: tuple[float, float]) -> None:
    grey, boxes = grey_scene()
    right = common_error(grey, boxes).size
    measured = common_error(grey, plant(Fault(faults.RESIZED, size), boxes, 900, 700)).size
    assert np.divide(measured, right) == pytest.approx(size, rel=0.03)


def test_common_error_tolerates_boxes_without_object() -> None:
    grey, boxes = grey_scene()
    aside = boxes[:12] + np.float32([60, 45, 60, 45])
    right, measured = common_error(grey, boxes), common_error(grey, np.concatenate([boxes, aside]))
    assert measured.shift == pytest.approx(right.shift, abs=0.5)
    assert measured.size == pytest.approx(right.size, rel=0.05)


def test_common_error_prefers_a_tank_to_a_rounder_shadow() -> None:
    grey, boxes = grey_scene(discs=12)
    for x1, y1, x2, y2 in boxes.tolist():
        beside = round((x1 + x2) * 8 - 8) + 16 * 42, round((y1 + y2) * 8 - 8)
        cv2.circle(grey, beside, round((x2 - x1) * 8 - 16), 0, -1, cv2.LINE_AA, 4)
        cv2.circle(grey, beside, round((x2 - x1) * 8 - 16), 255, 48, cv2.LINE_AA, 4)
    assert np.hypot(*common_error(grey, boxes).shift) < 1


def test_patch_shows_the_box_and_its_surroundings() -> None:
    grey = np.zeros((200, 300), np.uint8)
    grey[60:100, 120:180] = 200
    (patch,) = cut_patches(grey, np.float32([[120, 60, 180, 100]]))
    inside = patch > 0
    half = SIDE / CONTEXT / 2
    assert inside.sum(axis=0).max() == inside.sum(axis=1).max() == round(2 * half)
    rows, columns = np.nonzero(inside)
    assert (rows.mean(), columns.mean()) == pytest.approx(((SIDE - 1) / 2, (SIDE - 1) / 2))


def test_cut_patches_accepts_images_larger_than_the_opencv_limit() -> None:
    grey, boxes = grey_scene()
    wide = np.zeros((700, 40_000), np.uint8)
    wide[:, 39_000:39_900] = grey
    inner = boxes[(boxes[:, 0] > 100) & (boxes[:, 2] < 800)]
    inner = inner.round()  # float32 would round them more at large coordinates
    assert np.array_equal(cut_patches(wide, inner + np.float32([39_000, 0, 39_000, 0])), cut_patches(grey, inner))


def test_patches_outside_the_image_are_empty() -> None:
    grey, _ = grey_scene()
    seen = cut_patches(grey, np.float32([[-500, -500, -450, -450], [5000, 10, 5100, 90], [-3000, -3000, 9000, 9000]]))
    assert not seen[:2].any()
    assert np.isfinite(seen).all()
    wild = np.float32([[5, 5, 5, 5], [0, 0, 1e6, 1e6], [-1e30, 0, 1e30, 3]])
    assert np.isfinite(cut_patches(grey, wild)).all()
    assert np.isfinite(common_error(grey, np.float32([[-500, -500, -450, -450]])).size).all()
