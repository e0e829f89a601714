"""Remove duplicate detections of an object: box voting and non-maximum suppression (NMS), for boxes of one class."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

PAIRS = 2**19
"""Number of box pairs that are compared at once, which limits the memory."""
SMALLEST_UNION = np.float32(1e-6)
"""Lower bound of the union in the IoU of box voting, as in :func:`mmdet.structures.bbox.bbox_overlaps`."""


def nms(boxes: Floats, scores: Floats, iou_threshold: float) -> Indices:
    """Select boxes in order of decreasing score, and drop each box that overlaps a selected one.

    The result equals that of :func:`mmcv.ops.nms`. Boxes that are not finite or have no area are kept.

    Args:
        boxes: ``(N, 4)`` xyxy.
        scores: ``(N,)``; boxes with equal scores are processed in the given order.
        iou_threshold: a box is dropped if its IoU with a selected box exceeds this value.

    Returns:
        NDArray: indices of the selected boxes ``(M,)``, in order of decreasing score.
    """
    order: Indices = np.argsort(-scores, kind="stable")
    threshold = np.float32(iou_threshold)
    pairs: list[Indices] = [np.empty((2, 0), np.intp)]
    for pair, common, union in _overlapping(boxes[order]):
        pairs.append(np.sort(pair[:, common / union > threshold], axis=0))
    better, worse = np.concatenate(pairs, axis=1)
    dropped = np.zeros(len(order), np.bool_)
    while len(better):  # each round decides the pairs whose better box overlaps no box that is better still
        disputed = np.zeros(len(order), np.bool_)
        disputed[worse] = True
        is_decided = ~disputed[better]
        dropped[worse[is_decided]] = True
        remains = ~(is_decided | dropped[better] | dropped[worse])
        better, worse = better[remains], worse[remains]
    return order[~dropped]


def voted(boxes: Floats, scores: Floats, least_iou: float | None) -> Floats:
    """Replace each box by the score-weighted mean of the boxes that overlap it, including itself.

    The scores do not change; NMS uses them afterwards. Source: S. Gidaris and N. Komodakis, Object detection via a
    multi-region and semantic segmentation-aware CNN model, ICCV 2015, section 5. The result equals that of
    :func:`oil_storage.models.box_voting.voted`.

    Args:
        boxes: ``(N, 4)`` xyxy.
        scores: ``(N,)``, positive.
        least_iou: minimum IoU of boxes that are averaged, in (0, 1); None returns the boxes unchanged.

    Returns:
        NDArray: ``(N, 4)`` xyxy.
    """
    if least_iou is None:
        return boxes
    number, weights = len(boxes), scores.astype(np.float64)
    total, sums = weights.copy(), weights * boxes.T
    for (first, second), common, union in _overlapping(boxes):
        agree = common / np.maximum(union, SMALLEST_UNION) >= np.float32(least_iou)
        for into, other in ((first[agree], second[agree]), (second[agree], first[agree])):
            total += np.bincount(into, weights[other], number)
            for side in range(4):
                sums[side] += np.bincount(into, weights[other] * boxes[other, side], number)
    is_alone = total == weights  # keeps its box without rounding
    return np.where(is_alone[:, None], boxes, (sums / np.where(is_alone, 1, total)).T.astype(np.float32))


def _overlapping(boxes: Floats) -> Iterator[tuple[Indices, Floats, Floats]]:
    """Yield index pairs ``(2, P)`` of overlapping boxes, the area of their intersection, and that of their union.

    The boxes are sorted by their left side, so that each is compared only with those that begin before it ends.
    """
    x1, y1, x2, y2 = boxes.T
    usable = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (x2 > x1) & (y2 > y1))
    usable = usable[np.argsort(x1[usable], kind="stable")]
    x1, y1, x2, y2 = boxes[usable].T
    area = (x2 - x1) * (y2 - y1)
    count = np.searchsorted(x1, x2) - np.arange(1, len(usable) + 1)  # later boxes that begin before this one ends
    ends = np.cumsum(count)
    start = 0
    while start < len(usable):
        before = ends[start] - count[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS)))
        part = count[start:stop]
        first = np.repeat(np.arange(start, stop), part)
        second = np.arange(before, ends[stop - 1]) - np.repeat(ends[start:stop] - part, part) + first + 1
        meet = (y1[first] < y2[second]) & (y1[second] < y2[first])
        first, second = first[meet], second[meet]
        common = np.minimum(x2[first], x2[second]) - np.maximum(x1[first], x1[second])
        common *= np.minimum(y2[first], y2[second]) - np.maximum(y1[first], y1[second])
        yield usable[np.stack([first, second])], common, area[first] + area[second] - common
        start = stop
