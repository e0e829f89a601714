"""Search uncertain detections again, in small magnified crops.

The score of a detection varies by about 0.1 if the image is rotated or magnified a little. Near the score threshold,
this decides whether a tank is reported. So detections with medium scores are searched in further views, and the mean of
their scores and boxes is used. On the val scenes, this raises F1 from 0.902 to 0.910 (docs/experiments.md).
"""

from dataclasses import dataclass
from itertools import product
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.inference.patches import Search, search_patches
from oil_storage.iou import iou_matrix
from oil_storage.merging import Detections

UNCERTAIN = (0.3, 0.6)
"""Lowest and highest score of detections that are searched again."""
SAME = 0.4
"""Minimum IoU of two boxes of the same object in two views."""
CONTEXT = 2.0
"""Minimum side of a crop, as a multiple of the longest side of the box."""
GAP = 8
"""Distance between crops that are searched together, in pixels."""
AT_ONCE = 500
"""Number of detections whose crops are in memory at the same time."""


class Pixels(Protocol):
    """Image whose windows can be read: the part of :class:`oil_storage.imagery.SceneImage` that is needed here."""

    width: int
    height: int

    def read(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return a window; see :meth:`SceneImage.read`."""


@dataclass(frozen=True)
class View:
    """Further view of a detection.

    Attributes:
        side: side of the crop, in pixels of the magnified scene.
        zoom: further magnification.
        flips: axes of the crop that are mirrored, 0 for rows and 1 for columns.
    """

    side: int
    zoom: float
    flips: tuple[int, ...]


VIEWS = (View(100, 1.2, (0, 1)), View(86, 1.4, (1,)))


def look_again(
    image: Pixels, corners: NDArray[np.float64], found: Detections, search: Search, side: int, workers: int = 1
) -> Detections:
    """Average the scores and boxes of uncertain detections over :data:`VIEWS`.

    A view in which the object is not found has a score of 0.

    Args:
        image: opened scene.
        corners: magnification ``(4,)`` of the scene, see :attr:`Magnification.corners`.
        found: detections, in pixels of the magnified scene.
        search: detector.
        side: side of the arrays that are searched.
        workers: number of threads that may call ``search`` at once.

    Returns:
        Detections: all detections, in order of decreasing score.

    Raises:
        UserError: see :meth:`SceneImage.read`.
    """
    low, high = UNCERTAIN
    is_box = np.isfinite(found.boxes).all(axis=1)  # a diverging detector may return invalid boxes
    uncertain = np.flatnonzero(is_box & (found.scores >= low) & (found.scores <= high)).tolist()
    sums = found.scores.copy()
    weighted = sums[:, None] * found.boxes
    views = np.ones(len(sums), np.float32)
    parts = [uncertain[start : start + AT_ONCE] for start in range(0, len(uncertain), AT_ONCE)]
    for view, part in product(VIEWS, parts):
        regions = {index: _region(found.boxes[index], view, corners, image) for index in part}
        crops = {index: _crop(image, region, view, corners) for index, region in regions.items()}
        crops = {index: crop for index, crop in crops.items() if max(crop.shape) <= side}
        results = search_patches(list(crops.values()), search, side, GAP, workers)
        for index, again in zip(crops, results, strict=True):
            views[index] += 1
            boxes = _in_scene(again.boxes, crops[index].shape, regions[index] * corners, view)
            overlaps = iou_matrix(found.boxes[index : index + 1], boxes)[0]
            if overlaps.max(initial=0) >= SAME:
                best = overlaps.argmax()
                sums[index] += again.scores[best]
                weighted[index] += again.scores[best] * boxes[best]
    boxes = found.boxes.copy()
    boxes[uncertain] = weighted[uncertain] / sums[uncertain, None]
    scores = sums / views
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order])


def _region(box: NDArray[np.float32], view: View, corners: NDArray[np.float64], image: Pixels) -> NDArray[np.int64]:
    """Return the region of a crop around a box, ``(4,)`` xyxy in pixels of the scene."""
    side = max(view.side, CONTEXT * float((box[2:] - box[:2]).max()))
    size = np.minimum((side / corners[:2]).round(), [image.width, image.height])
    centre = (box[:2] + box[2:]) / 2 / corners[:2]
    corner = np.clip((centre - size / 2).round(), 0, [image.width, image.height] - size)
    return np.asarray(np.concatenate([corner, corner + np.maximum(size, 1)]), np.int64)


def _crop(image: Pixels, region: NDArray[np.int64], view: View, corners: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Read a region, magnified and flipped."""
    width, height = ((region[2:] - region[:2]) * corners[:2] * view.zoom).round().clip(1).astype(int).tolist()
    pixels = image.read(region, (width, height))
    interpolation = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_LINEAR
    return np.asarray(np.flip(cv2.resize(pixels, (width, height), interpolation=interpolation), view.flips), np.uint8)


def _in_scene(
    boxes: NDArray[np.float32], shape: tuple[int, ...], region: NDArray[np.float64], view: View
) -> NDArray[np.float32]:
    """Convert boxes from pixels of a crop to pixels of the magnified scene."""
    boxes = boxes.copy()
    for axis in view.flips:
        low, high = 1 - axis, 3 - axis
        boxes[:, [low, high]] = shape[axis] - boxes[:, [high, low]]
    scale = (region[2:] - region[:2]) / np.array([shape[1], shape[0]])
    return np.asarray(boxes * np.tile(scale, 2) + np.tile(region[:2], 2), np.float32)
