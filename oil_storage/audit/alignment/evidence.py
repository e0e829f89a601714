"""Evidence of one scene for and against each fault, and the searches for the shift or scale of its boxes.

Boxes are (N, 4) float32 xyxy, pixels of the image, as written but with corners in order, N > 0, unless something else
is said. Evidence is small enough to be kept for every scene of a data set.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.box_error import BoxError, common_error
from oil_storage.audit.alignment.faults import SCALED, SHIFTED, Fault, undo
from oil_storage.audit.alignment.roundness import (
    Floats,
    GradientField,
    chance_of,
    roundness,
    roundness_nearby,
    settled,
    tightened,
)

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
"""Number of scales that are searched closely after the first round."""
RATIO_ERROR = 0.15
"""Relative error of a mean box's ratio of sides; boxes drawn by hand are that far from square."""
AT_ONCE = 2_000


def best_shift(field: GradientField, boxes: Floats) -> Fault:
    """Return the shift up to :data:`REACH` without which boxes, else on the objects' edges, are roundest."""
    # an edge is wide enough to be met in steps of 2 px
    grid = np.arange(-REACH, REACH + 1, 2.0)
    shifts = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    x, y = _best_of(field, _sample(boxes, SHIFT_SAMPLE), shifts)
    for half, step in ((2.0, 1.0), (0.75, 0.25)):
        fine = np.arange(-half, half + step / 2, step)
        x, y = _best_of(field, boxes, np.array((x, y)) + np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2))
    return Fault(SHIFTED, (float(x), float(y)))


def _best_of(field: GradientField, boxes: Floats, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which of ``(S, 2)`` shifts leaves boxes roundest when it is undone."""
    return np.asarray(shifts[_mean_roundness(field, boxes - np.tile(shifts, 2)[:, None]).argmax()])


def _mean_roundness(field: GradientField, boxes: NDArray[np.floating], sparse: int = 1) -> Floats:
    """Return the mean roundness of each of several sets of boxes ``(S, N, 4)``, ``(S,)``."""
    flat = boxes.reshape(-1, 4).astype(np.float32)
    return np.asarray(roundness(field, flat, sparse).reshape(len(boxes), -1).mean(axis=1))


def roundest_near(field: GradientField, boxes: Floats, error: BoxError) -> BoxError:
    """Return the error within 0.12 sides and 20 % in size of ``error`` without which boxes are roundest.

    The ratio of its sizes in x and y stays.
    """
    few = _sample(error.undone(boxes), SHIFT_SAMPLE)
    side = float(np.median(few[:, 2:] - few[:, :2]))
    best = BoxError((0.0, 0.0), (1.0, 1.0))
    for step, aside, larger in NEAR:
        moves, sizes = (step * np.arange(-most, most + 1) for most in (aside, larger))
        x, y = ((side * moves + shift).tolist() for shift in best.shift)
        scales = (best.size[0] * np.exp(sizes)).tolist()
        tried = [BoxError((dx, dy), (scale, scale)) for dx, dy, scale in product(x, y, scales)]
        undone = np.stack([candidate.undone(few) for candidate in tried])
        best = tried[int(_mean_roundness(field, undone).argmax())]
    return BoxError(
        (error.shift[0] + best.shift[0], error.shift[1] + best.shift[1]),
        (error.size[0] * best.size[0], error.size[1] * best.size[1]),
    )


def best_scale(field: GradientField, boxes: Floats) -> Fault:
    """Return the scale about the origin, the same for both axes, under which boxes are roundest."""
    side = max(field.grey.shape)
    scales = _plausible(boxes, FINEST / side)
    best = _roundest(field, _sample(boxes, SCALE_SAMPLE), np.stack([scales, scales], axis=1))
    return _refined(field, boxes, best, side, axes=1)


def best_scales(field: GradientField, boxes: Floats) -> Fault:
    """Return the scales about the origin, one for each axis, under which boxes are roundest.

    A tank's box is as wide as it is high, so the ratio of the axes' scales is nearly that of the boxes' sides.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    ratio = np.exp(np.log(sides[:, 1] / sides[:, 0]).mean())
    side = max(field.grey.shape)
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
        best = _roundest(field, few, (likely[:, None] * np.array(list(product(near, near)))).reshape(-1, 2))
        likely = np.array([best.parameters])
        if reach == side:
            return _refined(field, boxes, best, side, axes=2)
        reach = min(2 * reach, side)  # farther boxes tell closer scales apart
        few = _sample(boxes if reach == side else _nearest(boxes, reach), SCALE_SAMPLE)


def _refined(field: GradientField, boxes: Floats, best: Fault, side: int, axes: int) -> Fault:
    """Return the scales near those of ``best`` under which all boxes are roundest."""
    for step in REFINED:
        near = np.exp(np.arange(-4, 5) * step / side)
        pairs = np.stack([near, near], axis=1) if axes == 1 else np.array(list(product(near, near)))
        best = _roundest(field, boxes, pairs * best.parameters)
    return best


def _nearest(boxes: Floats, reach: float) -> Floats:
    """Return the boxes within ``reach`` pixels of the origin; where there are few, the nearest."""
    farthest = boxes.max(axis=1)
    order = np.argsort(farthest, kind="stable")
    return np.asarray(boxes[order[: max(SCALE_SAMPLE, int((farthest <= reach).sum()))]])


def _plausible(boxes: Floats, step: float) -> NDArray[np.float64]:
    """Return scales whose logarithms are ``step`` apart; at least one."""
    side = float(np.median(boxes[:, 2:] - boxes[:, :2]))
    lowest = max(SCALES[0], side / OBJECT_SIDES[1])
    highest = max(min(SCALES[1], side / OBJECT_SIDES[0]), lowest * 1.001)
    return np.asarray(np.exp(np.arange(np.log(lowest), np.log(highest), step)))


def _roundest(field: GradientField, boxes: Floats, scales: NDArray[np.float64]) -> Fault:
    """Return which of ``(S, 2)`` scales of x and y leaves boxes roundest when it is undone."""
    x, y = scales[int(_scores(field, boxes, scales).argmax())]
    return Fault(SCALED, (float(x), float(y)))


def _scores(field: GradientField, boxes: Floats, scales: NDArray[np.float64], sparse: int = 1) -> Floats:
    """Return the mean roundness of boxes after each of ``(S, 2)`` scales of x and y is undone, ``(S,)``."""
    scores = []
    for start in range(0, len(scales), AT_ONCE):
        undone = boxes[None] / np.tile(scales[start : start + AT_ONCE], 2)[:, None]
        tried = tightened(undone.reshape(-1, 4).astype(np.float32))
        scores.append(roundness(field, tried, sparse).reshape(-1, len(boxes)).mean(axis=1))
    return np.concatenate(scores)


def _sample(boxes: Floats, most: int) -> Floats:
    """Return at most ``most`` boxes, from the larger half: they meet their objects in coarser steps."""
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")
    step = max(1, min(2, len(boxes) // most))
    return np.asarray(boxes[order[: step * most : step]])


SCENE_SAMPLE = 150
"""Boxes that are examined to judge a whole scene: more add time, not certainty."""
ABOVE_CHANCE = 0.15
"""A place must be rounder than chance by so much to be one for the boxes."""
CLEAR = 0.28
"""Margin above chance at which a simple transform ends the search."""
MUCH = 0.15
"""By so much is the nearest round place rounder than boxes as written that have a fault."""
CLEARER = 0.42
"""The same where the simpler place was searched for, too: boxes that are scaled a little seem shifted, some of them."""


@dataclass(frozen=True)
class SceneEvidence:
    """What one scene shows.

    Attributes:
        scene_id: of the scene.
        boxes: number of boxes looked at.
        chance: roundness of boxes of these sizes anywhere in the image: mean, and standard deviation of one box.
        roundness: mean roundness of the boxes after each fault is undone; :data:`faults.NONE` is as written.
        shift: that the boxes as written have in common, pixels, ``(dx, dy)``; see :func:`.box_error.common_error`.
        size: of the boxes in x and y, as multiples of boxes that end at the object's edge; likewise.
        fitted: mean roundness of the boxes after shift and size are undone.
        settled: share of the boxes that are round, at or near their place, after each fault is undone that makes them
            rounder than chance.
        fitted_settled: the same after shift and size are undone.
        side: median side of the boxes, pixels.
        single: ``(N,)`` roundness at or near each box of the scene as written, in the boxes' order.
    """

    scene_id: str
    boxes: int = 0
    chance: tuple[float, float] = (0.0, 0.0)
    roundness: dict[Fault, float] = field(default_factory=dict)
    shift: tuple[float, float] = (0.0, 0.0)
    size: tuple[float, float] = (1.0, 1.0)
    fitted: float = 0.0
    settled: dict[Fault, float] = field(default_factory=dict)
    fitted_settled: float = 0.0
    side: float = 0.0
    single: Floats = field(default_factory=lambda: np.zeros(0, np.float32))


def examine(scene_id: str, gradients: GradientField, boxes: Floats) -> SceneEvidence:
    """Examine one scene; its boxes are as written, corners in any order, and ``N`` may be 0."""
    if not len(boxes):
        return SceneEvidence(scene_id)
    height, width = gradients.grey.shape
    rng = np.random.default_rng(0)
    sample = boxes if len(boxes) <= SCENE_SAMPLE else boxes[rng.choice(len(boxes), SCENE_SAMPLE, replace=False)]
    upright = undo(Fault(), sample, width, height)
    sides = upright[:, 2:] - upright[:, :2]

    def mean(fault: Fault) -> float:
        return float(roundness(gradients, tightened(undo(fault, sample, width, height))).mean())

    chance = chance_of(gradients, sides, rng)
    clear = chance[0] + CLEAR
    error = common_error(gradients.grey, upright)
    simplest = fitted = float(roundness(gradients, error.undone(upright)).mean())
    scores = {fault: mean(fault) for fault in (Fault(), *map(Fault, faults.DISCRETE))}
    if fitted < clear:  # the network has seen an inner rim, or nothing
        nearest = roundest_near(gradients, upright, error)
        rounder = float(roundness(gradients, nearest.undone(upright)).mean())
        if rounder > max(chance[0] + CLEARER, scores[Fault()] + MUCH):
            error, fitted = nearest, rounder
    simplest = max(simplest, *scores.values())
    shifted = best_shift(gradients, tightened(upright))
    scores[shifted] = mean(shifted)
    for search in (best_scale, best_scales):
        others = max(score for fault, score in scores.items() if fault != shifted)
        if simplest < clear and others < chance[0] + CLEARER:
            scaled = search(gradients, upright)
            scores[scaled] = mean(scaled)
    return SceneEvidence(
        scene_id,
        len(sample),
        chance,
        scores,
        error.shift,
        error.size,
        fitted,
        {
            fault: settled(gradients, undo(fault, sample, width, height))
            for fault, score in scores.items()
            if score > chance[0] + ABOVE_CHANCE
        },
        settled(gradients, error.undone(upright)),
        float(np.median(sides)),
        roundness_nearby(gradients, undo(Fault(), boxes, width, height)),
    )
