"""From evidence to a verdict: on a data set, and on each of its scenes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from oil_storage.preparation.alignment import faults
from oil_storage.preparation.alignment.evidence import MARGINS, SIZES, SceneEvidence
from oil_storage.preparation.alignment.faults import Fault

FEWEST = 5
"""Boxes without which nothing is said of a scene."""
DEVIATIONS = 5.0
"""By so many standard deviations of its mean must roundness stand above chance."""
ABOVE_CHANCE = 0.10
"""And by so much in itself."""
SEARCHED = {faults.SHIFTED: 0.2, faults.RESIZED: 0.2, faults.SCALED: 0.26}
"""The same where the best of many places was taken: the best of hundreds, and of a hundred thousand."""
BETTER = 0.08
"""By so much must boxes be rounder after a fault is undone than as written."""
NATURAL_SIZE = 1.05
"""Size of boxes drawn by hand, as multiples of what the strongest edge encloses, the margin apart."""
NATURAL_MARGIN = 1.0
SITS = 0.2
"""Boxes that are rounder than chance by that much as written are not said to be shifted, wherever they would be rounder
still: a shadow beside a tank can be rounder than the tank."""
SITTING = (faults.NONE, faults.RESIZED)
"""Kinds of boxes that lie about their objects' centres."""
TOO_LARGE, TOO_SMALL = 1.2, 0.92
"""Sizes of a single scene's boxes, as multiples of the data set's."""


class Answer(StrEnum):
    """Do the boxes sit on the objects?"""

    YES = "yes"
    NO = "no"
    UNKNOWN = "not enough evidence"


@dataclass(frozen=True)
class Verdict:
    """What is said of a scene or a data set.

    Attributes:
        answer: see :class:`Answer`.
        fault: what is wrong, where the answer is no.
        shift: measured common shift ``(dx, dy)``, pixels.
        size: measured size of the boxes, 1 being that of boxes drawn by hand.
    """

    answer: Answer
    fault: Fault
    shift: tuple[float, float]
    size: float


def judge_scene(evidence: SceneEvidence, margin: float = NATURAL_MARGIN, size: float = NATURAL_SIZE) -> Verdict:
    """Judge one scene.

    Args:
        evidence: of the scene.
        margin: pixels by which the data set's boxes are drawn outside the edge; see :func:`fit_size`.
        size: what the size of right boxes is measured as, with that margin.
    """
    sides = sizes_of_sides(evidence, margin) / size
    measured = float(np.median(sides))
    unknown = Verdict(Answer.UNKNOWN, Fault(), evidence.shift, measured)
    if evidence.boxes < FEWEST:
        return unknown
    convincing = {fault: score for fault, score in evidence.roundness.items() if score > _enough(evidence, fault.kind)}
    sits = max((score for fault, score in convincing.items() if fault.kind in SITTING), default=None)
    moved = {
        fault: score
        for fault, score in convincing.items()
        if fault.kind not in SITTING and (fault.kind != faults.SHIFTED or is_far(evidence))
    }
    best = max(moved, key=lambda fault: moved[fault], default=None)
    if best and moved[best] > max(sits or 0.0, evidence.roundness[Fault()]) + BETTER:
        return Verdict(Answer.NO, best, evidence.shift, measured)
    if sits is None:
        return unknown
    if wrong := wrong_size(sides):
        return Verdict(Answer.NO, Fault(faults.RESIZED, (wrong,)), evidence.shift, wrong)
    return Verdict(Answer.YES, Fault(), evidence.shift, measured)


def _enough(evidence: SceneEvidence, kind: str) -> float:
    """Roundness from which a scene says something about a fault of that kind."""
    mean, deviation = evidence.chance
    return float(mean + max(SEARCHED.get(kind, ABOVE_CHANCE), DEVIATIONS * deviation / evidence.boxes**0.5))


def is_far(evidence: SceneEvidence) -> bool:
    """Whether a scene's shift is more than people's hands and leaning tanks explain."""
    above = evidence.roundness[Fault()] - evidence.chance[0]
    return above < SITS and float(np.hypot(*evidence.shift)) > max(3.0, 0.15 * evidence.side)


def wrong_size(sides: NDArray[np.float64]) -> float | None:
    """The size of boxes that are too large or too small on at least three of their four sides, else None.

    Shadows and leaning walls draw one side or two outwards; a scale about the centre moves all four.
    """
    _, second, third, _ = np.sort(sides)
    if second > TOO_LARGE or third < TOO_SMALL:
        return float(np.median(sides))
    return None


def sizes_of_sides(evidence: SceneEvidence, margin: float) -> NDArray[np.float64]:
    """Where the strongest edge stands, as sizes of the boxes: ``(4,)``, right, bottom, left and top."""
    row = int(np.abs(MARGINS - margin).argmin())
    sizes: NDArray[np.float64] = SIZES[evidence.fit[:4, row].argmax(axis=1)]
    return sizes


def fit_size(evidence: Sequence[SceneEvidence]) -> tuple[float, float]:
    """Margin and size of the boxes of a whole data set; told apart by boxes of different sizes.

    Returns:
        tuple: margin, pixels on each side, and size as a multiple of the objects'.
    """
    total = np.sum([one.fit[4] for one in evidence if one.boxes], axis=0)
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    if 0 < column < len(SIZES) - 1:  # the top of the parabola through the three highest
        left, top, right = total[row, column - 1 : column + 2]
        offset = float((left - right) / (2 * (left - 2 * top + right)))
    else:
        offset = 0.0
    step = float(np.log(SIZES[1] / SIZES[0]))
    return float(MARGINS[row]), float(SIZES[column] * np.exp(offset * step))
