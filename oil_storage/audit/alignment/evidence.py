"""What one scene shows for and against each fault; small enough to be kept for every scene of a data set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.box_error import common_error
from oil_storage.audit.alignment.chance import chance_of
from oil_storage.audit.alignment.faults import Fault, undo
from oil_storage.audit.alignment.roundness import GradientField, roundness, roundness_nearby, settled, tightened
from oil_storage.audit.alignment.search import best_scale, best_scales, best_shift, roundest_near

SAMPLE = 150
"""Boxes of a scene that are looked at for the whole scene's sake: more add time, not certainty."""
ABOVE_CHANCE = 0.15
"""What is not rounder than chance by that much is no place for the boxes."""
CLEAR = 0.28
"""Where a simpler place is rounder than chance by that much, no other is searched for."""
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
    boxes: int
    chance: tuple[float, float]
    roundness: dict[Fault, float]
    shift: tuple[float, float]
    size: tuple[float, float]
    fitted: float
    settled: dict[Fault, float]
    fitted_settled: float
    side: float
    single: NDArray[np.float32]


def examine(scene_id: str, field: GradientField, boxes: NDArray[np.float32]) -> SceneEvidence:
    """Look at one scene.

    Args:
        scene_id: of the scene.
        field: of its image.
        boxes: ``(N, 4)`` float32 as written, corners in any order, pixels of the scene; ``N`` may be 0.

    Returns:
        SceneEvidence: see there.
    """
    height, width = field.vectors.shape[:2]
    rng = np.random.default_rng(0)
    sample = boxes if len(boxes) <= SAMPLE else boxes[rng.choice(len(boxes), SAMPLE, replace=False)]
    written = undo(Fault(), boxes, width, height)
    upright = undo(Fault(), sample, width, height)
    sides = upright[:, 2:] - upright[:, :2]

    def mean(fault: Fault) -> float:
        return float(roundness(field, tightened(undo(fault, sample, width, height))).mean())

    found: dict[Fault, float] = {}
    chance, shift, size, fitted, fitted_settled = (0.0, 0.0), (0.0, 0.0), (1.0, 1.0), 0.0, 0.0
    if len(sample):
        chance = chance_of(field, sides, width, height, rng)
        clear = chance[0] + CLEAR
        error = common_error(field.grey, upright)
        simplest = fitted = float(roundness(field, error.undone(upright)).mean())
        for fault in (Fault(), *map(Fault, faults.DISCRETE)):
            found[fault] = mean(fault)
        if fitted < clear:  # the network has seen an inner rim, or nothing
            nearest = roundest_near(field, upright, error)
            rounder = float(roundness(field, nearest.undone(upright)).mean())
            if rounder > max(chance[0] + CLEARER, found[Fault()] + MUCH):
                error, fitted = nearest, rounder
        shift, size, fitted_settled = error.shift, error.size, settled(field, error.undone(upright))
        simplest = max(simplest, *found.values())
        shifted = best_shift(field, tightened(upright))
        found[shifted] = mean(shifted)
        for search in (best_scale, best_scales):
            others = max(score for fault, score in found.items() if fault != shifted)
            if simplest < clear and others < chance[0] + CLEARER:
                scaled = search(field, upright, width, height)
                found[scaled] = mean(scaled)
    above = chance[0] + ABOVE_CHANCE
    return SceneEvidence(
        scene_id,
        len(sample),
        chance,
        found,
        shift,
        size,
        fitted,
        {fault: settled(field, undo(fault, sample, width, height)) for fault, score in found.items() if score > above},
        fitted_settled,
        float(np.median(sides)) if len(sides) else 0.0,
        roundness_nearby(field, written),
    )
