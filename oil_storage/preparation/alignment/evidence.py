"""What one scene shows for and against each fault; small enough to be kept for every scene of a data set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oil_storage.preparation.alignment import faults
from oil_storage.preparation.alignment.chance import chance_of
from oil_storage.preparation.alignment.faults import Fault, undo
from oil_storage.preparation.alignment.roundness import (
    ANGLES,
    GradientField,
    radial_gradients,
    roundness,
    tightened,
)
from oil_storage.preparation.alignment.search import best_scale, best_scales, best_shift

SAMPLE = 150
"""Boxes of a scene that are looked at for the whole scene's sake: more add time, not certainty."""
MARGINS = np.arange(0.0, 3.01, 0.5)
SIZES = np.exp(np.arange(np.log(0.36), np.log(2.8), 0.03))
"""Margins and sizes of boxes, as multiples of the objects', between which :attr:`SceneEvidence.fit` looks."""
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
        shift: best common shift of the boxes as written, pixels, ``(dx, dy)``.
        fit: ``(5, len(MARGINS), len(SIZES))`` how strong an edge stands on the ellipse if boxes have that margin and
            size, 1 being each box's strongest: right, bottom, left and top side, then all four.
        side: median side of the boxes, pixels.
        aspect: median of width to height of the boxes as written.
        single: ``(N,)`` roundness of each box of the scene as written, in the boxes' order.
    """

    scene_id: str
    boxes: int
    chance: tuple[float, float]
    roundness: dict[Fault, float]
    shift: tuple[float, float]
    fit: NDArray[np.float32]
    side: float
    aspect: float
    single: NDArray[np.float32]


def examine(scene_id: str, pixels: NDArray[np.uint8], boxes: NDArray[np.float32]) -> SceneEvidence:
    """Look at one scene.

    Args:
        scene_id: of the scene.
        pixels: ``(H, W, 3)`` uint8 RGB.
        boxes: ``(N, 4)`` float32 as written, corners in any order, pixels of the scene; ``N`` may be 0.

    Returns:
        SceneEvidence: see there.
    """
    height, width = pixels.shape[:2]
    field = GradientField.of(pixels)
    rng = np.random.default_rng(0)
    sample = boxes if len(boxes) <= SAMPLE else boxes[rng.choice(len(boxes), SAMPLE, replace=False)]
    written = undo(Fault(), boxes, width, height)
    upright = undo(Fault(), sample, width, height)
    sides = upright[:, 2:] - upright[:, :2]

    def mean(fault: Fault) -> float:
        return float(roundness(field, tightened(undo(fault, sample, width, height))).mean())

    fit = _fit(field, upright)
    found: dict[Fault, float] = {}
    chance, shift = (0.0, 0.0), (0.0, 0.0)
    if len(sample):
        chance = chance_of(field, sides, width, height, rng)
        for fault in (Fault(), *map(Fault, faults.DISCRETE)):
            found[fault] = mean(fault)
        resized = Fault(faults.RESIZED, (_best_size(fit),))
        found[resized] = mean(resized)
        clear = chance[0] + CLEAR
        simplest = max(found.values())
        shift = best_shift(field, tightened(upright))
        shifted = Fault(faults.SHIFTED, shift)
        found[shifted] = mean(shifted)
        for search in (best_scale, best_scales):
            # boxes that are scaled a little seem shifted, some of them
            if simplest < clear and max(found.values()) < clear + CLEAR / 2:
                scaled = search(field, upright, width, height)
                found[scaled] = mean(scaled)
    return SceneEvidence(
        scene_id,
        len(sample),
        chance,
        found,
        shift,
        fit,
        float(np.median(sides)) if len(sides) else 0.0,
        float(np.median(sides[:, 0] / np.maximum(sides[:, 1], 1e-6))) if len(sides) else 1.0,
        roundness(field, tightened(written)),
    )


def _best_size(fit: NDArray[np.float32]) -> float:
    return float(SIZES[fit[4].max(axis=0).argmax()])


def _fit(field: GradientField, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(boxes):
        return np.zeros((5, len(MARGINS), len(SIZES)), dtype=np.float32)
    tried = np.concatenate([tightened(boxes, margin, size) for margin in MARGINS.tolist() for size in SIZES.tolist()])
    radial, _ = radial_gradients(field, tried)
    shape = len(MARGINS), len(SIZES), len(boxes)
    by_side = np.abs(radial.reshape(-1, 4, ANGLES // 4).mean(axis=2)).reshape(*shape, 4)
    strength = np.moveaxis(np.concatenate([by_side, by_side.mean(axis=3, keepdims=True)], axis=3), 3, 0)
    # each box counts the same, whatever its contrast
    strength /= np.maximum(strength.max(axis=(1, 2), keepdims=True), 1e-6)
    mean: NDArray[np.float32] = strength.mean(axis=3)
    return mean
