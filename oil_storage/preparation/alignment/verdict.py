"""From evidence to a verdict: on a data set, and on each of its scenes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oil_storage.preparation.alignment import faults
from oil_storage.preparation.alignment.evidence import SceneEvidence
from oil_storage.preparation.alignment.faults import Fault

FEWEST = 5
"""Boxes without which nothing is said of a scene."""
DEVIATIONS = 6.0
"""By so many standard deviations of its mean must roundness stand above chance."""
ABOVE_CHANCE = 0.15
"""And by so much in itself."""
SEARCHED = {faults.SHIFTED: 0.27, faults.RESIZED: 0.27, faults.SCALED: 0.28}
"""The same where the best of many places was taken: the best of hundreds, and of a hundred thousand."""
BETTER = 0.08
"""By so much must boxes be rounder after a fault is undone than as written,"""
ASIDE = 0.2
"""and by so much where it is a shift to another than the nearest place: a shadow can be rounder than its tank;"""
ASIDE_DEVIATIONS = 2.5
"""for any shift, by so many standard deviations of the mean more: of few boxes, some place is always rounder."""
THAN_RESIZED = 0.12
"""By so much must boxes be rounder after a fault is undone whose parameters were searched for than in other sizes,"""
SIMPLER = 0.04
"""and by so much less after a fault without parameters: the size, too, was searched for."""
BLURRED = 0.18
"""Boxes are not called resized that become less round by so much without it."""
NATURAL_SIZE = 1.04
"""Size of boxes drawn by hand, as multiples of boxes drawn a pixel outside the strongest edge."""
SITTING = (faults.NONE, faults.RESIZED)
"""Kinds of boxes that lie about their objects' centres."""
FAR, FAR_OF_SIDE = 2.0, 0.125
"""Pixels and share of a side, whichever is more: a shorter shift may be that of a hand, or a leaning tank's."""
TOO_LARGE, TOO_SMALL = 1.165, 0.9
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
    scores = evidence.roundness
    convincing = [fault for fault, score in scores.items() if score > _enough(evidence, fault.kind)]
    if evidence.boxes < FEWEST or not convincing:
        return Verdict(Answer.UNKNOWN, Fault(), evidence.shift, measured)
    moved = _moved(evidence, convincing)
    if far := [fault for fault in moved if fault.kind != faults.SHIFTED or is_far(evidence, fault)]:
        return Verdict(Answer.NO, max(far, key=lambda fault: moved[fault]), evidence.shift, measured)
    if not any(fault.kind in SITTING for fault in convincing):
        return Verdict(Answer.UNKNOWN, Fault(), evidence.shift, measured)
    wrong = wrong_size(*measured, evidence.boxes)
    if wrong and _resized(evidence) > scores[Fault()] - BLURRED:
        climbed = Fault(faults.SHIFTED, evidence.shift)  # which feigns a size
        feigned = climbed in moved and math.hypot(*evidence.shift) > FAR
        return Verdict(Answer.NO, climbed if feigned else wrong, evidence.shift, measured)
    return Verdict(Answer.YES, Fault(), evidence.shift, measured)


def _moved(evidence: SceneEvidence, convincing: Iterable[Fault]) -> dict[Fault, float]:
    """Faults that move boxes and without which these are clearly rounder; the higher the number, the likelier."""
    found = {}
    for fault in convincing:
        shifted = fault.kind == faults.SHIFTED
        nearest = shifted and fault.parameters == evidence.shift
        searched = fault.kind in SEARCHED
        doubt = ASIDE if shifted and not nearest else BETTER
        doubt += ASIDE_DEVIATIONS * evidence.chance[1] / evidence.boxes**0.5 * shifted
        than_resized = THAN_RESIZED if searched else -SIMPLER
        least = max(evidence.roundness[Fault()] + doubt, _resized(evidence) + than_resized)
        if fault.kind not in SITTING and evidence.roundness[fault] > least:
            # the best of many places may be rounder by chance
            found[fault] = evidence.roundness[fault] - (ASIDE if searched and not nearest else 0.0)
    return found


def _resized(evidence: SceneEvidence) -> float:
    return max(score for fault, score in evidence.roundness.items() if fault.kind == faults.RESIZED)


def _enough(evidence: SceneEvidence, kind: str) -> float:
    """Roundness from which a scene says something about a fault of that kind."""
    mean, deviation = evidence.chance
    return float(mean + max(SEARCHED.get(kind, ABOVE_CHANCE), DEVIATIONS * deviation / evidence.boxes**0.5))


def is_far(evidence: SceneEvidence, shift: Fault) -> bool:
    """Whether a shift is more than people's hands and leaning tanks explain."""
    return math.hypot(*shift.parameters) > max(FAR, FAR_OF_SIDE * evidence.side)


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
