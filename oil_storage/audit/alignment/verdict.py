"""From evidence to a verdict: on a data set, and on each of its scenes."""

import math
from dataclasses import dataclass
from enum import StrEnum

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.evidence import ABOVE_CHANCE, SceneEvidence
from oil_storage.audit.alignment.faults import Fault

NO_FAULT = Fault()
FEWEST = 5
"""Boxes without which nothing is said of a scene."""
DEVIATIONS = 6.0
"""By so many standard deviations of its mean must roundness stand above chance, at least by :data:`ABOVE_CHANCE`."""
SEARCHED = {faults.SHIFTED: 0.27, faults.RESIZED: 0.24, faults.SCALED: 0.28}
"""The least where the best of many places or sizes was taken: of hundreds, and of a hundred thousand."""
SETTLED = 0.75
"""Share of the boxes that are round, or nearly, where they belong; of right boxes some nine tenths are."""
SITTING = 0.5
"""The same for boxes as they were written: single ones on nothing are suspects, and no fault of the scene."""
SURELY_SETTLED = 0.9
"""Of so many, that is no chance, even where the best of many places was taken."""
BETTER = 0.08
"""By so much must boxes be rounder after a fault is undone than as written,"""
ASIDE = 0.2
"""and by so much where it is a shift: a shadow can be rounder than its tank;"""
ASIDE_DEVIATIONS = 2.5
"""and by so many standard deviations of the mean more: of few boxes, some place is always rounder."""
BY_CHANCE = {faults.SHIFTED: 0.1, faults.SCALED: 0.05}
UNEQUAL = 0.1
"""By so much may the best of many places be rounder than a place that nothing was sought for, and by so much more where
the scales of x and y were sought apart; more shifts are tried than common scales."""
THAN_FITTED = 0.12
"""By so much must boxes be rounder after a fault is undone whose parameters were searched for than fitted,"""
THAN_SEEN = {faults.SHIFTED: 0.31, faults.SCALED: 0.2}
"""by so much where they are round when fitted: the network knows a tank from its shadow;"""
SIMPLER = 0.04
"""and by so much less after a fault without parameters: four were fitted;"""
HALF_A_SIDE = {"centre read as corner": 0.5, "corner read as centre": -0.5}
NEARLY, MUCH_SIMPLER = 0.1, 0.2
"""by so much less after one of these where the shift, in x and in y, is nearly so many sides: nothing else makes it."""
NATURAL_SIZE = 1.09
"""Size of boxes drawn by hand, as multiples of boxes that end at the object's edge."""
FAR = 2.8
"""Pixels: a shorter shift may be that of a hand, or a leaning tank's."""
TOO_LARGE, TOO_SMALL = 1.11, 0.89
"""Sizes of a single scene's boxes, as multiples of the data set's."""
CLEARER, CLEARLY = 0.08, 0.3
"""Boxes are too large that become rounder by so much when fitted, as those about squares don't, and whose size less 1
and gain in roundness make so much together: some people draw large."""
TOO_WIDE = 1.14
"""Ratio of a single scene's sizes in x and y, or its inverse."""
SURE = 30
"""Boxes from which a scene's shift and size are read surely; of fewer, all these limits widen with the root of their
number."""


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

    def verdict(answer: Answer, fault: Fault = NO_FAULT) -> Verdict:
        return Verdict(answer, fault, evidence.shift, measured)

    if evidence.boxes < FEWEST:
        return verdict(Answer.UNKNOWN)
    if moved := _moved(evidence):
        return verdict(Answer.NO, max(moved, key=lambda fault: moved[fault]))
    if not _is_fitted(evidence):
        sits = evidence.settled.get(NO_FAULT, 0.0) >= SITTING
        sits &= evidence.roundness[NO_FAULT] > _enough(evidence, faults.NONE)
        return verdict(Answer.YES if sits else Answer.UNKNOWN)
    if _is_believed(evidence) and math.hypot(*evidence.shift) > FAR * _doubt(evidence):
        return verdict(Answer.NO, Fault(faults.SHIFTED, evidence.shift))
    if wrong := _wrong_size(evidence, *measured):
        return verdict(Answer.NO, wrong)
    return verdict(Answer.YES)


def _moved(evidence: SceneEvidence) -> dict[Fault, float]:
    """Faults that move boxes farther than the network sees, and without which these are clearly rounder.

    Returns:
        dict: the higher the number, the likelier.
    """
    found = {}
    for fault, score in evidence.roundness.items():
        settled = evidence.settled.get(fault, 0.0)
        if fault == NO_FAULT or settled < SETTLED or score < _enough(evidence, fault.kind, settled):
            continue
        searched = fault.kind in SEARCHED
        doubt, than_fitted = BETTER, -SIMPLER
        if fault.kind in HALF_A_SIDE and _is_half_a_side(evidence, HALF_A_SIDE[fault.kind]):
            than_fitted = -MUCH_SIMPLER
        if searched:
            than_fitted = THAN_SEEN[fault.kind] if _is_fitted(evidence) else THAN_FITTED
        if fault.kind == faults.SHIFTED:
            doubt = ASIDE + ASIDE_DEVIATIONS * evidence.chance[1] / evidence.boxes**0.5
        least = max(evidence.roundness[NO_FAULT] + doubt, evidence.fitted + than_fitted)
        if score > least:
            found[fault] = score + settled - _by_chance(fault)
    return found


def _by_chance(fault: Fault) -> float:
    """How much rounder the best of the places that were tried for a fault may be by chance."""
    unequal = fault.kind == faults.SCALED and fault.parameters[0] != fault.parameters[1]
    return BY_CHANCE.get(fault.kind, 0.0) + UNEQUAL * unequal


def _is_half_a_side(evidence: SceneEvidence, sides: float) -> bool:
    return all(abs(along - sides * evidence.side) < NEARLY * evidence.side for along in evidence.shift)


def _is_fitted(evidence: SceneEvidence) -> bool:
    """Whether the network sees tanks, so that what it says of the boxes means something."""
    settled = evidence.fitted_settled
    return settled >= SETTLED and evidence.fitted > _enough(evidence, faults.RESIZED, settled)


def _is_believed(evidence: SceneEvidence) -> bool:
    """Whether the place that the network gives is not less round than the boxes as written, as in noisy images."""
    return evidence.fitted > evidence.roundness[NO_FAULT] - BETTER


def _enough(evidence: SceneEvidence, kind: str, settled: float = 0.0) -> float:
    """Roundness from which a scene says something about a fault of that kind."""
    mean, deviation = evidence.chance
    above = ABOVE_CHANCE if settled >= SURELY_SETTLED else SEARCHED.get(kind, ABOVE_CHANCE)
    return float(mean + max(above, DEVIATIONS * deviation / evidence.boxes**0.5))


def _doubt(evidence: SceneEvidence) -> float:
    return math.sqrt(max(1.0, SURE / evidence.boxes))


def _wrong_size(evidence: SceneEvidence, x: float, y: float) -> Fault | None:
    """What is wrong with the size of a scene's boxes, in x and y as multiples of the data set's, if anything."""
    doubt, size = _doubt(evidence), math.sqrt(x * y)
    if _is_believed(evidence) and max(x / y, y / x) > TOO_WIDE**doubt:
        return Fault(faults.RESIZED, (x, y))
    gained = evidence.fitted - evidence.roundness[NO_FAULT]
    is_clear = gained > CLEARER and gained + size - 1 > CLEARLY
    if size < TOO_SMALL**doubt or (size > TOO_LARGE**doubt and is_clear):
        return Fault(faults.RESIZED, (size, size))
    return None
