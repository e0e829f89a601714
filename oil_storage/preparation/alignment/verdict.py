"""From evidence to a verdict: on a data set, and on each of its scenes."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from oil_storage.preparation.alignment import faults
from oil_storage.preparation.alignment.evidence import SceneEvidence
from oil_storage.preparation.alignment.faults import Fault

FEWEST = 5
"""Boxes without which nothing is said of a scene."""
DEVIATIONS = 5.0
"""By so many standard deviations of its mean must roundness stand above chance."""
ABOVE_CHANCE = 0.10
"""And by so much in itself."""
SEARCHED = {faults.SHIFTED: 0.27, faults.RESIZED: 0.27, faults.SCALED: 0.28}
"""The same where the best of many places was taken: the best of hundreds, and of a hundred thousand."""
BETTER = 0.08
"""By so much must boxes be rounder after a fault is undone than as written; for sizes, not less round by so much."""
NATURAL_SIZE = 1.04
"""Size of boxes drawn by hand, as multiples of boxes drawn a pixel outside the strongest edge."""
ASIDE = 0.2
"""The same for a shift: a shadow beside a tank can be rounder than the tank,"""
ASIDE_DEVIATIONS = 2.5
"""and by so many standard deviations of the mean more: of few boxes, some place is always rounder."""
SITTING = (faults.NONE, faults.RESIZED)
"""Kinds of boxes that lie about their objects' centres."""
TOO_LARGE, TOO_SMALL = 1.16, 0.89
"""Sizes of a single scene's boxes, as multiples of the data set's."""
TOO_WIDE = 1.11
"""Ratio of a single scene's sizes in x and y, or its inverse."""
SURE_SIZE = 30
"""Boxes from which a scene's size is read surely; of fewer, all these limits widen with the root of their number."""


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
        size: measured size of the boxes in x and y, 1 being that of the data set's.
    """

    answer: Answer
    fault: Fault
    shift: tuple[float, float]
    size: tuple[float, float]


def judge_scene(evidence: SceneEvidence, size: float = NATURAL_SIZE) -> Verdict:
    """Judge one scene.

    Args:
        evidence: of the scene.
        size: what the size of right boxes is measured as in the data set.
    """
    measured = evidence.size[0] / size, evidence.size[1] / size
    unknown = Verdict(Answer.UNKNOWN, Fault(), evidence.shift, measured)
    if evidence.boxes < FEWEST:
        return unknown
    convincing = {fault: score for fault, score in evidence.roundness.items() if score > _enough(evidence, fault.kind)}
    sits = max((score for fault, score in convincing.items() if fault.kind in SITTING), default=None)
    at_place = max(sits or 0.0, evidence.roundness[Fault()])
    aside = ASIDE + ASIDE_DEVIATIONS * evidence.chance[1] / evidence.boxes**0.5
    moved = {
        fault: score
        for fault, score in convincing.items()
        if fault.kind not in SITTING and score > at_place + (aside if fault.kind == faults.SHIFTED else BETTER)
    }
    if not is_far(evidence):
        moved = {fault: score for fault, score in moved.items() if fault.kind != faults.SHIFTED}
    if moved:
        return Verdict(Answer.NO, max(moved, key=lambda fault: moved[fault]), evidence.shift, measured)
    if sits is None:
        return unknown
    resized = max(score for fault, score in evidence.roundness.items() if fault.kind == faults.RESIZED)
    if (wrong := wrong_size(*measured, evidence.boxes)) and resized > evidence.roundness[Fault()] - BETTER:
        return Verdict(Answer.NO, wrong, evidence.shift, measured)
    return Verdict(Answer.YES, Fault(), evidence.shift, measured)


def _enough(evidence: SceneEvidence, kind: str) -> float:
    """Roundness from which a scene says something about a fault of that kind."""
    mean, deviation = evidence.chance
    return float(mean + max(SEARCHED.get(kind, ABOVE_CHANCE), DEVIATIONS * deviation / evidence.boxes**0.5))


def is_far(evidence: SceneEvidence) -> bool:
    """Whether a scene's shift is more than people's hands and leaning tanks explain."""
    return float(np.hypot(*evidence.shift)) > max(3.0, 0.15 * evidence.side)


def wrong_size(x: float, y: float, boxes: int) -> Fault | None:
    """What is wrong with the size of a scene's boxes, which is given as multiples of the data set's, if anything.

    Args:
        x: size in x.
        y: size in y.
        boxes: from how many it was read, > 0.
    """
    doubt = max(1.0, SURE_SIZE / boxes) ** 0.5
    size = (x * y) ** 0.5
    if max(x / y, y / x) > TOO_WIDE**doubt:
        return Fault(faults.RESIZED, (x, y))
    if size > TOO_LARGE**doubt or size < TOO_SMALL**doubt:
        return Fault(faults.RESIZED, (size, size))
    return None
