"""Measure how well the boxes of a scene match its image, as written and after undoing each possible fault.

Unless stated otherwise, boxes are ``(N, 4)`` float32 xyxy, ``N > 0``, in pixels of the image. They are as written in
the annotations, but with ordered corners. Scenes of large tanks are reduced first; see :data:`WORKING_SIDE`.
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
    anywhere,
    chance_of,
    roundness,
    roundness_nearby,
    settled,
    tightened,
)

REACH = 48
"""Maximum shift that is tried, in pixels."""
SHIFT_SAMPLE = 40
SCALE_SAMPLE = 30
NEAR = ((0.04, 3, 5), (0.013, 2, 2), (0.004, 2, 2))
"""Rounds of the local search: step, maximum number of steps in position, and in size.

The step is in box sides for the position, and in the natural logarithm of the size.
"""
SCALES = (0.2, 5.0)
"""Minimum and maximum scale that is tried."""
OBJECT_SIDES = (6.0, 100.0)
"""Minimum and maximum median side of boxes after undoing a scale, in pixels. Smaller boxes seem round anywhere."""
FINEST = 1.5
"""Maximum distance, in pixels, that a box moves between two tried scales; it is less than the width of an edge."""
REFINED = (0.5, 0.12)
"""Like :data:`FINEST`, in the final rounds, which use all boxes."""
CORNER = 4096
"""Side, in pixels, of the square at the image origin whose boxes :func:`best_scales` uses first."""
COARSER = 3.0
"""Ratio of the steps of the first and the second round in :func:`best_scales`."""
LIKELY = 24
"""Number of candidates that remain after the first round in :func:`best_scales`."""
RATIO_ERROR = 0.15
"""Maximum relative error of the mean aspect ratio of boxes drawn by hand."""
AT_ONCE = 2_000


def best_shift(field: GradientField, boxes: Floats) -> Fault:
    """Find the common shift that, once undone, maximizes the mean roundness of boxes.

    The boxes must end at the edges of their objects. Shifts up to :data:`REACH` pixels in x and in y are tried.
    """
    # steps of 2 px are fine enough to hit an edge
    grid = np.arange(-REACH, REACH + 1, 2.0)
    shifts = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    x, y = _best_of(field, _sample(boxes, SHIFT_SAMPLE), shifts)
    for half, step in ((2.0, 1.0), (0.75, 0.25)):
        fine = np.arange(-half, half + step / 2, step)
        x, y = _best_of(field, boxes, np.array((x, y)) + np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2))
    return Fault(SHIFTED, (float(x), float(y)))


def _best_of(field: GradientField, boxes: Floats, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shift ``(S, 2)`` that gives the highest mean roundness when it is subtracted from the boxes."""
    return np.asarray(shifts[_mean_roundness(field, boxes - np.tile(shifts, 2)[:, None]).argmax()])


def _mean_roundness(field: GradientField, boxes: NDArray[np.floating], sparse: int = 1) -> Floats:
    """Return the mean roundness ``(S,)`` of each of ``S`` sets of boxes ``(S, N, 4)``."""
    flat = boxes.reshape(-1, 4).astype(np.float32)
    return np.asarray(roundness(field, flat, sparse).reshape(len(boxes), -1).mean(axis=1))


def roundest_near(field: GradientField, boxes: Floats, error: BoxError) -> BoxError:
    """Refine an error: find the error nearby that, once undone, maximizes the mean roundness of boxes.

    The shift changes by at most 0.16 box sides in x and in y. The sizes in x and y change by the same factor, from
    1 / 1.27 to 1.27.
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
    """Find the scale of x and y about the origin that, once undone, maximizes the mean roundness of boxes."""
    side = max(field.grey.shape)
    scales = _plausible(boxes, FINEST / side)
    best = _roundest(field, _sample(boxes, SCALE_SAMPLE), np.stack([scales, scales], axis=1))
    return _refined(field, boxes, best, side, axes=1)


def best_scales(field: GradientField, boxes: Floats) -> Fault:
    """Find separate scales of x and y about the origin that, once undone, maximize the mean roundness of boxes.

    Boxes around tanks are about square, so the ratio of the scales is close to the ratio of the box sides.
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
        reach = min(2 * reach, side)  # boxes far from the origin distinguish similar scales
        few = _sample(boxes if reach == side else _nearest(boxes, reach), SCALE_SAMPLE)


def _refined(field: GradientField, boxes: Floats, best: Fault, side: int, axes: int) -> Fault:
    """Return the scales near ``best`` that, once undone, maximize the mean roundness of all boxes."""
    for step in REFINED:
        near = np.exp(np.arange(-4, 5) * step / side)
        pairs = np.stack([near, near], axis=1) if axes == 1 else np.array(list(product(near, near)))
        best = _roundest(field, boxes, pairs * best.parameters)
    return best


def _nearest(boxes: Floats, reach: float) -> Floats:
    """Return the boxes whose coordinates are at most ``reach``, but at least the :data:`SCALE_SAMPLE` nearest boxes."""
    farthest = boxes.max(axis=1)
    order = np.argsort(farthest, kind="stable")
    return np.asarray(boxes[order[: max(SCALE_SAMPLE, int((farthest <= reach).sum()))]])


def _plausible(boxes: Floats, step: float) -> NDArray[np.float64]:
    """Return the plausible scales, at least one, in increasing order; each is ``exp(step)`` times the previous one."""
    side = float(np.median(boxes[:, 2:] - boxes[:, :2]))
    lowest = max(SCALES[0], side / OBJECT_SIDES[1])
    highest = max(min(SCALES[1], side / OBJECT_SIDES[0]), lowest * 1.001)
    return np.asarray(np.exp(np.arange(np.log(lowest), np.log(highest), step)))


def _roundest(field: GradientField, boxes: Floats, scales: NDArray[np.float64]) -> Fault:
    """Return the best of the scales ``(S, 2)``: once undone, it maximizes the mean roundness of boxes."""
    x, y = scales[int(_scores(field, boxes, scales).argmax())]
    return Fault(SCALED, (float(x), float(y)))


def _scores(field: GradientField, boxes: Floats, scales: NDArray[np.float64], sparse: int = 1) -> Floats:
    """Return the mean roundness ``(S,)`` of boxes after undoing each of the scales ``(S, 2)``."""
    scores = []
    for batch in np.split(scales, range(AT_ONCE, len(scales), AT_ONCE)):
        undone = boxes / np.tile(batch, 2)[:, None]
        fitted = tightened(undone.reshape(-1, 4).astype(np.float32)).reshape(undone.shape)
        scores.append(_mean_roundness(field, fitted, sparse))
    return np.concatenate(scores)


def _sample(boxes: Floats, most: int) -> Floats:
    """Return at most ``most`` of the largest boxes, for which coarser search steps suffice."""
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")
    step = max(1, min(2, len(boxes) // most))
    return np.asarray(boxes[order[: step * most : step]])


WORKING_SIDE = 20
"""Minimum median side of the boxes in the reduced image, in pixels. Images are reduced because the edge of a large tank
is less round: roof, wall and shadow are drawn as one box, and the thresholds were chosen for tanks of this size."""
SQUARE = 0.25
"""Maximum median aspect ratio of boxes around tanks, as a natural logarithm."""
SCENE_SAMPLE = 150
"""Maximum number of boxes that are examined to judge a scene."""
SHOWN = 0.75
"""Minimum share of a box inside the image for its roundness to count. Boxes of cut tanks may reach over the border."""
ABOVE_CHANCE = 0.15
"""Minimum roundness above chance of boxes that may be correct."""
CLEAR = 0.28
"""Roundness above chance at which a simple fault explains the boxes, so that scales are not searched."""
MUCH = 0.15
"""Minimum gain in roundness from undoing a nearby error (:func:`roundest_near`), compared with boxes as written."""
CLEARER = 0.42
"""Minimum roundness above chance after undoing a nearby error.

It is large because boxes with slightly scaled coordinates also seem shifted. Separate scales of x and y
are not searched if a common scale reaches this value.
"""


@dataclass(frozen=True)
class SceneEvidence:
    """Measurements of how well the boxes of a scene match its image.

    Attributes:
        scene_id: id of the scene.
        boxes: number of examined boxes.
        reduction: factor by which the image was reduced before the boxes were examined; see :data:`WORKING_SIDE`.
        chance: mean and standard deviation of the roundness of boxes of the same sizes at random places.
        roundness: mean roundness of the boxes after undoing each fault. The fault :data:`faults.NONE` stands for the
            boxes as written.
        shift: common shift ``(dx, dy)`` in pixels; see :class:`.box_error.BoxError`.
        size: common size in x and y; see :class:`.box_error.BoxError`.
        fitted: mean roundness of the boxes after undoing ``shift`` and ``size``.
        settled: result of :func:`.roundness.settled` after undoing each fault, without faults for which ``roundness``
            is close to chance.
        fitted_settled: result of :func:`.roundness.settled` after undoing ``shift`` and ``size``.
        side: median side of the boxes in pixels.
        single: ``(N,)`` result of :func:`.roundness.roundness_nearby` for all boxes of the scene as written.
        single_chance: mean and standard deviation of this result for boxes of the same sizes at random places.
        own: ``(N,)`` roundness of all boxes of the scene exactly as written.
        shown: ``(N,)`` whether the image shows at least :data:`SHOWN` of the area of each box of the scene.
    """

    scene_id: str
    boxes: int = 0
    reduction: int = 1
    chance: tuple[float, float] = (0.0, 0.0)
    roundness: dict[Fault, float] = field(default_factory=dict)
    shift: tuple[float, float] = (0.0, 0.0)
    size: tuple[float, float] = (1.0, 1.0)
    fitted: float = 0.0
    settled: dict[Fault, float] = field(default_factory=dict)
    fitted_settled: float = 0.0
    side: float = 0.0
    single: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    single_chance: tuple[float, float] = (0.0, 0.0)
    own: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    shown: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


def working_reduction(boxes: Floats) -> int:
    """Return the factor that reduces the median side of boxes ``(N, 4)`` to at least :data:`WORKING_SIDE` pixels.

    The format of the boxes may be confused. Tanks are round, so another format may be the right one if the boxes are
    about square in it. Of the possible formats, the one with the smallest boxes is assumed.
    """
    possible = [undo(Fault(), boxes, 0, 0)]
    for upright in (undo(Fault(kind), boxes, 0, 0) for kind in faults.FORMATS):
        aspects = np.abs(np.diff(np.log(upright[:, 2:] - upright[:, :2] + 1e-3), axis=1))
        possible += [upright] if np.median(aspects) < SQUARE else []
    side = min(float(np.median(upright[:, 2:] - upright[:, :2])) for upright in possible)
    return max(1, int(side // WORKING_SIDE))


def examine(scene_id: str, gradients: GradientField, boxes: Floats) -> SceneEvidence:
    """Measure how well boxes ``(N, 4)`` match an image. Their corners may be in any order, and ``N`` may be 0."""
    if not len(boxes):
        return SceneEvidence(scene_id)
    reduction = working_reduction(boxes)
    height, width = (side / reduction for side in gradients.grey.shape)
    gradients, boxes = gradients.reduced(reduction), boxes / np.float32(reduction)
    rng = np.random.default_rng(0)
    sample = boxes if len(boxes) <= SCENE_SAMPLE else rng.choice(boxes, SCENE_SAMPLE, replace=False)
    upright = undo(Fault(), sample, width, height)
    sides = upright[:, 2:] - upright[:, :2]

    def mean(fault: Fault) -> float:
        return float(roundness(gradients, tightened(undo(fault, sample, width, height))).mean())

    chance = chance_of(gradients, sides, rng)
    clear = chance[0] + CLEAR
    error = common_error(gradients.grey, upright)
    simplest = fitted = float(roundness(gradients, error.undone(upright)).mean())
    scores = {fault: mean(fault) for fault in (Fault(), *map(Fault, faults.DISCRETE))}
    if fitted < clear:  # the network may have measured an inner rim, or no tank
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
    settled_shares = {
        fault: settled(gradients, undo(fault, sample, width, height))
        for fault, score in scores.items()
        if score > chance[0] + ABOVE_CHANCE
    }
    by_chance = roundness_nearby(gradients, anywhere(gradients, sides, rng))
    written = undo(Fault(), boxes, width, height)
    inside = np.clip(written, 0, np.array([width, height, width, height], np.float32))
    return SceneEvidence(
        scene_id,
        len(sample),
        reduction,
        chance,
        {fault.magnified(reduction): score for fault, score in scores.items()},
        (error.shift[0] * reduction, error.shift[1] * reduction),
        error.size,
        fitted,
        {fault.magnified(reduction): share for fault, share in settled_shares.items()},
        settled(gradients, error.undone(upright)),
        float(np.median(sides)) * reduction,
        roundness_nearby(gradients, written),
        (float(by_chance.mean()), float(by_chance.std())),
        roundness(gradients, tightened(written)),
        (inside[:, 2:] - inside[:, :2]).prod(axis=1) >= SHOWN * (written[:, 2:] - written[:, :2]).prod(axis=1),
    )
