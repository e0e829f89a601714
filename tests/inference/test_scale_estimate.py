import cv2
import numpy as np
import pytest

from oil_storage.imagery import ArrayImage
from oil_storage.inference.scale_estimate import ZOOMS, choose, evidence
from oil_storage.merging import Detections

SIDE = 640
KNOWN = 20.0
"""Side in pixels of the squares that the detector below knows."""


def squares(side: float, size: int = 900, number: int = 12) -> np.ndarray:
    """Return a dark image with bright squares, clustered in one quarter."""
    image = np.full((size, size, 3), 30, np.uint8)
    rng = np.random.default_rng(0)
    for row in range(3):
        for column in range(number // 3):
            x, y = (np.array([column, row]) * 2.2 * side + rng.uniform(0, side / 2, 2) + 4).astype(int)
            image[y : y + round(side), x : x + round(side)] = 220
    return image


def search(pixels: np.ndarray) -> Detections:
    """Detect squares; the more their side differs from the known one, the lower the score and the worse the box."""
    assert pixels.shape == (SIDE, SIDE, 3)
    bright = (pixels[..., 0] > 100).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:]], np.float32).reshape(-1, 4)
    sides = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
    octaves = np.log2(np.maximum(sides, 1) / KNOWN)
    boxes[:, 2:] += (np.abs(octaves) * sides / 8)[:, None]
    return Detections(boxes, np.clip(0.95 - np.abs(octaves) / 2, 0, 1).astype(np.float32))


@pytest.mark.parametrize("side", [12.0, 20.0, 45.0, 80.0])
def test_estimate_is_near_the_magnification_that_the_detector_knows(side: float) -> None:
    own = evidence(ArrayImage(squares(side)), search, threshold=0.4, side=SIDE)
    estimate = choose(own, [])
    assert estimate is not None
    assert abs(np.log2(estimate.zoom * side / KNOWN)) < 0.6


def test_image_without_detections_gives_no_estimate() -> None:
    own = evidence(ArrayImage(np.full((700, 500, 3), 90, np.uint8)), search, threshold=0.4, side=SIDE)
    assert own.max() == 0
    assert choose(own, [own, own]) is None


def test_search_takes_few_images_and_ends_after_the_best_magnification() -> None:
    searched: list[int] = []

    def counted(pixels: np.ndarray) -> Detections:
        searched.append(1)
        return search(pixels)

    evidence(ArrayImage(squares(20.0, size=2560, number=30)), counted, threshold=0.4, side=SIDE)
    assert len(searched) <= 11
    searched.clear()
    evidence(ArrayImage(squares(80.0)), counted, threshold=0.4, side=SIDE)
    assert len(searched) <= 5


def test_folder_decides_for_a_scene_without_evidence_of_its_own() -> None:
    clear = np.zeros(len(ZOOMS))
    clear[4] = 5.0
    nothing = np.zeros(len(ZOOMS))
    assert choose(nothing, [nothing]) is None
    estimate = choose(nothing, [clear, nothing])
    assert estimate is not None
    assert estimate.zoom < ZOOMS[4] < estimate.zoom * 2
    assert estimate.evidence == 0


def test_scene_with_clear_evidence_is_not_overruled_by_its_folder() -> None:
    own, folder = np.zeros(len(ZOOMS)), np.zeros(len(ZOOMS))
    own[8], folder[3] = 7.0, 4.0
    estimate = choose(own, [folder] * 6)
    assert estimate is not None
    assert abs(np.log2(estimate.zoom / ZOOMS[8])) < 0.5
