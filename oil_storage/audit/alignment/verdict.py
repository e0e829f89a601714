"""From evidence to verdicts: on each scene, on the data set, and on scenes whose boxes belong to other images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import chain

import numpy as np

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.evidence import ABOVE_CHANCE, SceneEvidence
from oil_storage.audit.alignment.faults import Fault, undo
from oil_storage.audit.alignment.roundness import Floats, GradientField, chance_of, roundness, settled, tightened
from oil_storage.imagery import read_pixels
from oil_storage.parallel import in_processes
from oil_storage.scene import Scene

NO_FAULT = Fault()
FEWEST = 5
"""Boxes that a scene needs for a verdict."""
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
    """Judge one scene of a data set in which the size of right boxes is measured as ``size``."""
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
    """Rank the faults that move boxes farther than the network sees, and without which these are clearly rounder."""
    ranks = {}
    for fault, score in evidence.roundness.items():
        settled = evidence.settled.get(fault, 0.0)
        if fault == NO_FAULT or settled < SETTLED or score < _enough(evidence, fault.kind, settled):
            continue
        doubt, than_fitted = BETTER, -SIMPLER
        if fault.kind in HALF_A_SIDE and _is_half_a_side(evidence, HALF_A_SIDE[fault.kind]):
            than_fitted = -MUCH_SIMPLER
        if fault.kind in SEARCHED:
            than_fitted = THAN_SEEN[fault.kind] if _is_fitted(evidence) else THAN_FITTED
        if fault.kind == faults.SHIFTED:
            doubt = ASIDE + ASIDE_DEVIATIONS * evidence.chance[1] / evidence.boxes**0.5
        least = max(evidence.roundness[NO_FAULT] + doubt, evidence.fitted + than_fitted)
        if score > least:
            ranks[fault] = score + settled - _by_chance(fault)
    return ranks


def _by_chance(fault: Fault) -> float:
    """Return how much rounder the best of the places that were tried for a fault may be by chance."""
    unequal = fault.kind == faults.SCALED and fault.parameters[0] != fault.parameters[1]
    return BY_CHANCE.get(fault.kind, 0.0) + UNEQUAL * unequal


def _is_half_a_side(evidence: SceneEvidence, sides: float) -> bool:
    return all(abs(along - sides * evidence.side) < NEARLY * evidence.side for along in evidence.shift)


def _is_fitted(evidence: SceneEvidence) -> bool:
    """Return whether the network sees tanks, so that its errors of the boxes mean something."""
    settled = evidence.fitted_settled
    return settled >= SETTLED and evidence.fitted > _enough(evidence, faults.RESIZED, settled)


def _is_believed(evidence: SceneEvidence) -> bool:
    """Return whether the fitted boxes are about as round as those written, unlike in noisy images."""
    return evidence.fitted > evidence.roundness[NO_FAULT] - BETTER


def _enough(evidence: SceneEvidence, kind: str, settled: float = 0.0) -> float:
    """Return the roundness that is evidence for a fault of that kind."""
    mean, deviation = evidence.chance
    above = ABOVE_CHANCE if settled >= SURELY_SETTLED else SEARCHED.get(kind, ABOVE_CHANCE)
    return float(mean + max(above, DEVIATIONS * deviation / evidence.boxes**0.5))


def _doubt(evidence: SceneEvidence) -> float:
    """Return the factor by which the limits of a scene with few boxes widen."""
    return math.sqrt(max(1.0, SURE / evidence.boxes))


def _wrong_size(evidence: SceneEvidence, x: float, y: float) -> Fault | None:
    """Return the fault of sizes in x and y, as multiples of the data set's; None where they are right."""
    doubt, size = _doubt(evidence), math.sqrt(x * y)
    if _is_believed(evidence) and max(x / y, y / x) > TOO_WIDE**doubt:
        return Fault(faults.RESIZED, (x, y))
    gained = evidence.fitted - evidence.roundness[NO_FAULT]
    is_clear = gained > CLEARER and gained + size - 1 > CLEARLY
    if size < TOO_SMALL**doubt or (size > TOO_LARGE**doubt and is_clear):
        return Fault(faults.RESIZED, (size, size))
    return None


COMMON_SHIFT = 1.5
"""Pixels: a shift that the scenes have in common is a fault from here, one scene's own only from several pixels."""
COMMON_SIZE = 0.12
"""Relative: as :data:`COMMON_SHIFT`, for the size; people who draw tightly and people who don't differ by less."""
COMMON_SCENES = 5
"""Scenes that have to agree before a fault is told that a single scene is too uncertain to show."""
USUAL_SCENES = 20
"""Scenes whose own size counts as much as the natural one in telling how those who drew them usually draw."""
COMMON_RATIO = 1.06
"""Ratio of the sizes in x and y, or its inverse."""
SAME_SCALE = 0.01
"""Scales of two scenes that differ by less, relatively, are one."""


@dataclass(frozen=True)
class DatasetVerdict:
    """Verdict on a data set.

    Attributes:
        answer: no where more than half of the scenes that can be judged share a fault.
        fault: that fault, with measured parameters.
        shift: median shift of the scenes whose boxes lie about objects, ``(dx, dy)`` pixels; None where there is none.
        size: measured size of their boxes, 1 being that of boxes drawn by hand; likewise.
        scenes: a verdict for every scene.
    """

    answer: Answer
    fault: Fault
    shift: tuple[float, float] | None
    size: float | None
    scenes: Mapping[str, Verdict]

    @property
    def statement(self) -> str:
        """The answer in words: ``no, transposed``, ``not in 2 of 20 scenes``."""
        if self.answer == Answer.NO:
            return f"no, {self.fault}"
        wrong = sum(verdict.answer == Answer.NO for verdict in self.scenes.values())
        return f"not in {wrong} of {len(self.scenes)} scenes" if wrong else str(self.answer)


def judge_dataset(evidence: Sequence[SceneEvidence]) -> DatasetVerdict:
    """Judge a data set, and each scene by the habits of those who drew the others."""
    sizes = np.array([scene.size for scene in evidence if _sits(judge_scene(scene))])
    placed = len(sizes)
    sizes = sizes if placed else np.full((1, 2), NATURAL_SIZE)
    size = float(np.median(np.sqrt(sizes.prod(axis=1))))
    ratio = float(np.median(sizes[:, 0] / sizes[:, 1]))
    error = size / NATURAL_SIZE
    differs = abs(error - 1) > COMMON_SIZE or max(ratio, 1 / ratio) > COMMON_RATIO
    resized = differs and placed >= COMMON_SCENES
    own = 0.0 if resized else placed / (placed + USUAL_SCENES)
    usual = NATURAL_SIZE ** (1 - own) * size**own
    scenes = {scene.scene_id: judge_scene(scene, usual) for scene in evidence}
    sitting = [verdict for verdict in scenes.values() if _sits(verdict)]
    dx, dy = np.median([verdict.shift for verdict in sitting] or [(0.0, 0.0)], axis=0)
    shift = float(dx), float(dy)
    alike = [verdict for verdict in sitting if np.hypot(*np.subtract(verdict.shift, shift)) <= COMMON_SHIFT]
    shifted = np.hypot(*shift) > COMMON_SHIFT and len(alike) >= COMMON_SCENES and 2 * len(alike) > len(sitting)
    judged = [verdict for verdict in scenes.values() if verdict.answer != Answer.UNKNOWN]
    fault = common_fault([verdict.fault for verdict in judged if verdict.answer == Answer.NO], len(judged))
    measured = Fault(faults.RESIZED, (error * ratio**0.5, error / ratio**0.5))
    if fault.kind == faults.NONE and shifted:  # before the size, which it disturbs
        fault = Fault(faults.SHIFTED, shift)
    elif fault.kind == faults.RESIZED or (fault.kind == faults.NONE and resized):
        fault = measured
    if fault.kind == faults.SHIFTED:
        scenes = {name: _as_others_shifted(verdict, fault) for name, verdict in scenes.items()}
    answer = Answer.NO if fault.kind != faults.NONE else Answer.YES if judged else Answer.UNKNOWN
    return DatasetVerdict(answer, fault, shift if sitting else None, error if placed else None, scenes)


def common_fault(scene_faults: Sequence[Fault], judged: int) -> Fault:
    """Return the fault of more than half of the judged scenes, with the median of its parameters; else no fault."""
    for kind in {fault.kind for fault in scene_faults}:
        alike = [fault for fault in scene_faults if fault.kind == kind]
        middle = tuple(float(value) for value in np.median([fault.parameters for fault in alike], axis=0))
        if kind == faults.SCALED:
            alike = [fault for fault in alike if agrees(fault, Fault(kind, middle))]
        if 2 * len(alike) > judged:
            return Fault(kind, middle)
    return Fault()


def agrees(own: Fault, common: Fault) -> bool:
    """Return whether a scene's own fault is the common one, which is measured better."""
    if own.kind != common.kind:
        return False
    if own.kind == faults.SHIFTED:
        return bool(np.hypot(*np.subtract(own.parameters, common.parameters)) <= FAR)
    return own.kind != faults.SCALED or np.allclose(own.parameters, common.parameters, rtol=SAME_SCALE)


def _as_others_shifted(verdict: Verdict, common: Fault) -> Verdict:
    """Replace a corner taken for a centre by the common shift, which looks alike where boxes are as large as it."""
    shifted = Fault(faults.SHIFTED, verdict.shift)
    return replace(verdict, fault=shifted) if verdict.fault.kind in HALF_A_SIDE and agrees(shifted, common) else verdict


def _sits(verdict: Verdict) -> bool:
    """Return whether a scene was judged, and its boxes lie about the objects' centres."""
    return verdict.answer != Answer.UNKNOWN and verdict.fault.kind in (faults.NONE, faults.RESIZED)


TRIED_BOXES = 60
"""Boxes of a scene that are tried on other images."""
ON_ALL_IMAGES = 20
"""Up to so many scenes are tried on every image; more are tried on each other's alone, to save time."""
CLEAR_DEVIATIONS = 9.0
"""Standard deviations of the mean by which a place must be rounder than chance, and most boxes must be round there."""


def reexamine(scenes: Mapping[str, Scene], boxes: Mapping[str, Floats], scales: Sequence[Fault]) -> dict[str, Fault]:
    """Try boxes on other scenes' images, and on their own under scales that were found elsewhere.

    Args:
        scenes: all, by scene id.
        boxes: ``(N, 4)`` as written, of the scenes without a verdict.
        scales: faults of kind :data:`faults.SCALED`.

    Returns:
        dict: the fault of each scene for which one was found.
    """
    if not boxes:
        return {}
    rng = np.random.default_rng
    samples = {
        name: written if len(written) <= TRIED_BOXES else rng(0).choice(written, TRIED_BOXES, replace=False)
        for name, written in boxes.items()
    }
    images = scenes.values() if len(boxes) <= ON_ALL_IMAGES else [scenes[name] for name in boxes]
    attempt = partial(_try_on, boxes=samples, scales=scales)
    by_image = in_processes(attempt, list(images), "reexamining scenes without a verdict", "image")
    best_last = sorted(chain.from_iterable(by_image), key=lambda clear: clear[0])
    return {name: fault for _, name, fault in best_last}


def _try_on(scene: Scene, boxes: Mapping[str, Floats], scales: Sequence[Fault]) -> list[tuple[float, str, Fault]]:
    """Try boxes on one image.

    Returns:
        list: by how many deviations boxes are rounder than chance, clearly, whose boxes, and under which fault.
    """
    pixels = read_pixels(scene.image, scene.reading)
    height, width = pixels.shape[:2]
    field = GradientField.of(pixels)
    rng = np.random.default_rng(0)
    clear = []
    for name, written in boxes.items():
        for fault in scales if name == scene.scene_id else [Fault(faults.ELSEWHERE, image=scene.scene_id)]:
            undone = undo(fault, written, width, height)
            chance, deviation = chance_of(field, undone[:, 2:] - undone[:, :2], rng)
            better = float(roundness(field, tightened(undone)).mean()) - chance
            deviations = better / max(deviation / len(undone) ** 0.5, 1e-6)
            if deviations > CLEAR_DEVIATIONS and settled(field, undone) >= SETTLED:
                clear.append((deviations, name, fault))
    return clear
