"""Search many small images at once: place them in images of one size, side by side."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from oil_storage.merging import Detections
from oil_storage.parallel import in_threads

Search = Callable[[NDArray[np.uint8]], Detections]
"""Function that detects in an RGB array ``(side, side, 3)``; boxes are in pixels of the array."""

Places = dict[int, tuple[int, int]]
"""Corners (x, y) of patches in an array, by the index of the patch."""


def search_patches(
    patches: Sequence[NDArray[np.uint8]], search: Search, side: int, gap: int, workers: int = 1
) -> list[Detections]:
    """Detect in patches.

    Args:
        patches: RGB arrays ``(H, W, 3)``, with sides of at most ``side``.
        search: detector.
        side: side of the arrays that are searched.
        gap: distance between neighbouring patches in pixels.
        workers: number of threads that may call ``search`` at once.

    Returns:
        list: detections in each patch, in its own pixels. Boxes that extend beyond the patch are dropped.
    """
    found = [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))] * len(patches)

    def search_placed(places: Places) -> tuple[Places, Detections]:
        canvas = np.zeros((side, side, 3), np.uint8)
        for index, (x, y) in places.items():
            height, width = patches[index].shape[:2]
            canvas[y : y + height, x : x + width] = patches[index]
        return places, search(canvas)

    for places, (boxes, scores) in in_threads(
        search_placed, ((places,) for places in _placed(patches, side, gap)), workers
    ):
        for index, corner in places.items():
            own = boxes - np.tile(np.array(corner, np.float32), 2)
            size = np.array(patches[index].shape[1::-1])
            is_own = (own[:, :2] >= -1).all(axis=1) & (own[:, 2:] <= size + 1).all(axis=1)
            found[index] = Detections(own[is_own], scores[is_own])
    return found


def _placed(patches: Sequence[NDArray[np.uint8]], side: int, gap: int) -> Iterator[Places]:
    """Yield the corners (x, y) of the patches in each array, by index.

    Patches are placed in rows, the highest first.
    """
    places: Places = {}
    x = y = row = 0
    for index in sorted(range(len(patches)), key=lambda index: -patches[index].shape[0]):
        height, width = patches[index].shape[:2]
        if x + width > side:
            x, y, row = 0, y + row + gap, 0
        if y + height > side:
            yield places
            places, x, y, row = {}, 0, 0, 0
        places[index] = x, y
        x, row = x + width + gap, max(row, height)
    if places:
        yield places
