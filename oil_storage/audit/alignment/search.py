"""Where boxes would have to lie: searches over shifts and scales."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment.box_error import BoxError
from oil_storage.audit.alignment.faults import SCALED, SHIFTED, Fault
from oil_storage.audit.alignment.roundness import GradientField, roundness, tightened

REACH = 48
"""Shifts up to that many pixels are tried."""
SHIFT_SAMPLE = 40
SCALE_SAMPLE = 30
NEAR = ((0.04, 3, 5), (0.013, 2, 2), (0.004, 2, 2))
"""Steps of the search for the nearest round place, in sides and in the logarithm of the size, and how many of them to
either side: in x and in y, and in size."""
SCALES = (0.2, 5.0)
"""Scales between these are tried,"""
OBJECT_SIDES = (6.0, 100.0)
"""as long as they leave boxes whose middle side is between these, pixels: almost anything is round that is tiny."""
FINEST = 1.5
"""Pixels that the farthest box moves from one tried scale to the next: less than an edge is wide."""
REFINED = (0.5, 0.12)
"""Pixels, likewise, in the last rounds, that see all boxes."""
CORNER = 4096
"""Pixels: in larger scenes, scales of both axes are first sought by boxes so near to the origin; time grows with the
square."""
COARSER = 3.0
"""Times by which the first round of a search in two directions is coarser."""
LIKELY = 24
"""Of the scales that the first round tries, so many are looked at closely."""
RATIO_ERROR = 0.15
"""Relative error of a mean box's ratio of sides; boxes drawn by hand are that far from square."""
AT_ONCE = 2_000


def best_shift(field: GradientField, boxes: NDArray[np.float32]) -> Fault:
    """The common shift up to :data:`REACH` without which boxes are roundest.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy on the objects' edges but for the shift.

    Returns:
        Fault: of kind :data:`SHIFTED`.
    """
    # an edge is wide enough to be met in steps of 2 px
    grid = np.arange(-REACH, REACH + 1, 2.0)
    shifts = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    place = shifts[_after_shifts(field, _sample(boxes, SHIFT_SAMPLE), shifts).argmax()]
    for half, step in ((2.0, 1.0), (0.75, 0.25)):
        fine = np.arange(-half, half + step / 2, step)
        shifts = place + np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
        place = shifts[_after_shifts(field, boxes, shifts).argmax()]
    return Fault(SHIFTED, (float(place[0]), float(place[1])))


def _after_shifts(field: GradientField, boxes: NDArray[np.float32], shifts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mean roundness of boxes after each of ``(S, 2)`` shifts is undone, ``(S,)``."""
    moved = (boxes - np.tile(shifts, 2)[..., None, :]).reshape(-1, 4).astype(np.float32)
    score: NDArray[np.float32] = roundness(field, moved).reshape(len(shifts), len(boxes)).mean(axis=1)
    return score


def roundest_near(field: GradientField, boxes: NDArray[np.float32], error: BoxError) -> BoxError:
    """The error near another without which boxes are roundest; in x and in y, its sizes keep their ratio.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy as written, corners in order, ``N > 0``.
        error: within 0.12 sides, and 20 % in size.
    """
    few = _sample(error.undone(boxes), SHIFT_SAMPLE)
    side = float(np.median(few[:, 2:] - few[:, :2]))
    best = BoxError((0.0, 0.0), (1.0, 1.0))
    for step, aside, larger in NEAR:
        moves, sizes = (step * np.arange(-most, most + 1) for most in (aside, larger))
        x, y = side * moves + best.shift[0], side * moves + best.shift[1]
        tried = [
            BoxError((float(dx), float(dy)), (float(size), float(size)))
            for dx, dy, size in product(x, y, best.size[0] * np.exp(sizes))
        ]
        undone = np.concatenate([one.undone(few) for one in tried])
        best = tried[int(roundness(field, undone).reshape(len(tried), len(few)).mean(axis=1).argmax())]
    return BoxError(
        (error.shift[0] + best.shift[0], error.shift[1] + best.shift[1]),
        (error.size[0] * best.size[0], error.size[1] * best.size[1]),
    )


def best_scale(field: GradientField, boxes: NDArray[np.float32], width: int, height: int) -> Fault:
    """The scale about the origin, the same for both axes, under which boxes are roundest.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy as written, corners in order, ``N > 0``.
        width: of the image, pixels.
        height: of the image, pixels.

    Returns:
        Fault: of kind :data:`SCALED`.
    """
    scales = _plausible(boxes, FINEST / max(width, height))
    found = _roundest(field, _sample(boxes, SCALE_SAMPLE), np.stack([scales, scales], axis=1))
    return _refined(field, boxes, found, max(width, height), axes=1)


def best_scales(field: GradientField, boxes: NDArray[np.float32], width: int, height: int) -> Fault:
    """As :func:`best_scale`, with a scale for each axis.

    A tank's box is as wide as it is high, so the ratio of the axes' scales is nearly that of the boxes' sides.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    ratio = np.exp(np.log(sides[:, 1] / sides[:, 0]).mean())
    side = max(width, height)
    reach = min(side, CORNER)
    step = COARSER * FINEST / reach
    coarse = _plausible(boxes, step)
    ratios = ratio * np.exp(np.arange(-RATIO_ERROR, RATIO_ERROR, step))
    pairs = np.stack([np.repeat(coarse, len(ratios)), np.outer(coarse, ratios).ravel()], axis=1)
    few = _sample(boxes if reach == side else _nearest(boxes, reach), SCALE_SAMPLE)
    scores = _scores(field.blurred(COARSER * FINEST / 2), few[: SCALE_SAMPLE // 2], pairs, sparse=2)
    likely = pairs[np.argsort(-scores, kind="stable")[:LIKELY]]
    while True:
        near = np.exp(np.arange(-1.5, 1.6, 0.5 / COARSER) * COARSER * FINEST / reach)
        found = _roundest(field, few, (likely[:, None] * np.array(list(product(near, near)))).reshape(-1, 2))
        likely = np.array([found.parameters])
        if reach == side:
            return _refined(field, boxes, found, side, axes=2)
        reach = min(2 * reach, side)  # farther boxes tell closer scales apart
        few = _sample(boxes if reach == side else _nearest(boxes, reach), SCALE_SAMPLE)


def _refined(field: GradientField, boxes: NDArray[np.float32], found: Fault, side: int, axes: int) -> Fault:
    """Of the scales near those found, the ones under which all boxes are roundest."""
    for step in REFINED:
        near = np.exp(np.arange(-4, 5) * step / side)
        pairs = np.stack([near, near], axis=1) if axes == 1 else np.array(list(product(near, near)))
        found = _roundest(field, boxes, pairs * found.parameters)
    return found


def _nearest(boxes: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """Boxes within so many pixels of the origin; where there are few, the nearest."""
    farthest = boxes.max(axis=1)
    order = np.argsort(farthest, kind="stable")
    chosen: NDArray[np.float32] = boxes[order[: max(SCALE_SAMPLE, int((farthest <= reach).sum()))]]
    return chosen


def _plausible(boxes: NDArray[np.float32], step: float) -> NDArray[np.float64]:
    """Scales whose logarithms are ``step`` apart; at least one."""
    side = float(np.median(boxes[:, 2:] - boxes[:, :2]))
    lowest = max(SCALES[0], side / OBJECT_SIDES[1])
    highest = max(min(SCALES[1], side / OBJECT_SIDES[0]), lowest * 1.001)
    scales: NDArray[np.float64] = np.exp(np.arange(np.log(lowest), np.log(highest), step))
    return scales


def _roundest(field: GradientField, boxes: NDArray[np.float32], scales: NDArray[np.float64]) -> Fault:
    """Of ``(S, 2)`` scales of x and y, those under which boxes are roundest."""
    x, y = scales[int(_scores(field, boxes, scales).argmax())]
    return Fault(SCALED, (float(x), float(y)))


def _scores(
    field: GradientField, boxes: NDArray[np.float32], scales: NDArray[np.float64], sparse: int = 1
) -> NDArray[np.float32]:
    """Mean roundness of boxes under each of ``(S, 2)`` scales of x and y."""
    scores = []
    for start in range(0, len(scales), AT_ONCE):
        undone = boxes[None] / np.tile(scales[start : start + AT_ONCE], 2)[:, None]
        tried = tightened(undone.reshape(-1, 4).astype(np.float32))
        scores.append(roundness(field, tried, sparse).reshape(-1, len(boxes)).mean(axis=1))
    return np.concatenate(scores)


def _sample(boxes: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """At most so many boxes, of the larger half: they meet their objects in coarser steps."""
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")
    step = max(1, min(2, len(boxes) // most))
    chosen: NDArray[np.float32] = boxes[order[: step * most : step]]
    return chosen
