"""What one scene shows for and against each fault; small enough to be kept for every scene of a data set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oil_storage.preparation.alignment import faults
from oil_storage.preparation.alignment.box_error import common_error
from oil_storage.preparation.alignment.chance import chance_of
from oil_storage.preparation.alignment.faults import Fault, undo
from oil_storage.preparation.alignment.roundness import GradientField, roundness, roundness_nearby, tightened
from oil_storage.preparation.alignment.search import best_scale, best_scales, best_shift

SAMPLE = 150
"""Boxes of a scene that are looked at for the whole scene's sake: more add time, not certainty."""
CLEAR = 0.28
"""Where a simpler place is rounder than chance by that much, no scale is searched for."""


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
    chance, shift, size, fitted = (0.0, 0.0), (0.0, 0.0), (1.0, 1.0), 0.0
    if len(sample):
        chance = chance_of(field, sides, width, height, rng)
        error = common_error(field.grey, upright)
        shift, size = error.shift, error.size
        centred = undo(Fault(faults.SHIFTED, shift), upright, width, height)
        fitted = float(roundness(field, undo(Fault(faults.RESIZED, size), centred, width, height)).mean())
        for fault in (Fault(), *map(Fault, faults.DISCRETE)):
            found[fault] = mean(fault)
        clear = chance[0] + CLEAR
        simplest = max(fitted, *found.values())
        shifted = best_shift(field, tightened(upright))
        found[shifted] = mean(shifted)
        for search in (best_scale, best_scales):
            # boxes that are scaled a little seem shifted, some of them
            others = max(score for fault, score in found.items() if fault != shifted)
            if simplest < clear and others < clear + CLEAR / 2:
                scaled = search(field, upright, width, height)
                found[scaled] = mean(scaled)
    return SceneEvidence(
        scene_id,
        len(sample),
        chance,
        found,
        shift,
        size,
        fitted,
        float(np.median(sides)) if len(sides) else 0.0,
        roundness_nearby(field, written),
    )
