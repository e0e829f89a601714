import numpy as np
from numpy.typing import NDArray

from oil_storage.inference.patches import search_patches
from oil_storage.merging import Detections

SIDE = 64


def bright(canvas: NDArray[np.uint8]) -> Detections:
    """Return a box around each bright pixel; its score is the brightness."""
    assert canvas.shape == (SIDE, SIDE, 3)
    y, x = np.nonzero(canvas[..., 0])
    boxes = np.stack([x, y, x + 1, y + 1], axis=1).astype(np.float32)
    return Detections(boxes, canvas[y, x, 0].astype(np.float32))


def test_each_patch_gets_its_own_detections() -> None:
    rng = np.random.default_rng(0)
    patches, points = [], []
    for index in range(40):
        height, width = rng.integers(5, 30, 2)
        x, y = rng.integers(width), rng.integers(height)
        patch = np.zeros((height, width, 3), np.uint8)
        patch[y, x] = index + 1
        patches.append(patch)
        points.append((x, y))
    found = search_patches(patches, bright, SIDE, gap=2)
    assert len(found) == 40
    for index, ((x, y), detections) in enumerate(zip(points, found, strict=True)):
        assert detections.scores.tolist() == [index + 1]
        assert detections.boxes.tolist() == [[x, y, x + 1, y + 1]]


def test_few_arrays_are_searched() -> None:
    searches = []

    def search(canvas: NDArray[np.uint8]) -> Detections:
        searches.append(canvas)
        return bright(canvas)

    patches = [np.full((14, 14, 3), 9, np.uint8)] * 32
    found = search_patches(patches, search, SIDE, gap=2)
    assert len(searches) == 2  # four in a row
    assert [len(detections.boxes) for detections in found] == [14 * 14] * 32


def test_nothing_is_searched_without_patches() -> None:
    assert search_patches([], bright, SIDE, gap=2) == []
