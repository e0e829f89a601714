"""Judge whether the boxes of scenes and of a data set match the images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.evidence import ABOVE_CHANCE, SceneEvidence
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.set_error import LOOSE, NATURAL_SIZE, SetError, is_loose, loss

NO_FAULT = Fault()
FEWEST = 5
"""Minimum number of boxes for a verdict."""
DEVIATIONS = 6.0
"""Minimum roundness above chance, in standard deviations of the mean.

:data:`ABOVE_CHANCE` or :data:`SEARCHED` applies instead if it is larger.
"""
SEARCHED = {faults.SHIFTED: 0.27, faults.RESIZED: 0.24, faults.SCALED: 0.28}
"""Minimum roundness above chance for each kind of fault whose parameters were searched or fitted."""
SETTLED = 0.75
"""Minimum share of boxes with a round object after undoing a fault. The share is about 0.9 for correct boxes."""
SITTING = 0.5
"""Minimum share for boxes as written. It is low because single boxes without an object are no fault of the scene."""
SURELY_SETTLED = 0.9
"""If at least this share of the boxes has a round object, :data:`ABOVE_CHANCE` replaces :data:`SEARCHED`."""
BETTER = 0.08
"""Minimum gain in roundness from undoing a fault, compared with boxes as written."""
ASIDE = 0.2
"""Minimum gain for a shift. It is large because a shadow can be rounder than its tank."""
ASIDE_DEVIATIONS = 2.5
"""Additional gain for a shift, in standard deviations of the mean. The best of many shifts is rounder by chance."""
BY_CHANCE = {faults.SHIFTED: 0.1, faults.SCALED: 0.05}
"""Gain in roundness by chance, because the best of many shifts or scales was searched."""
UNEQUAL = 0.1
"""Additional gain in roundness by chance if the scales of x and y were searched separately."""
THAN_FITTED = 0.12
"""Minimum gain in roundness from undoing a searched fault, compared with fitted boxes (corrected by the network)."""
THAN_SEEN = {faults.SHIFTED: 0.31, faults.SCALED: 0.2}
"""Like :data:`THAN_FITTED`, if the fitted boxes are round. It is larger, as the network can tell tanks from shadows."""
SIMPLER = 0.04
"""Tolerated loss in roundness, compared with fitted boxes, for a fault without parameters."""
HALF_A_SIDE = {"centre read as corner": 0.5, "corner read as centre": -0.5}
"""Faults that shift boxes in x and in y, and the shift in box sides."""
NEARLY, MUCH_SIMPLER = 0.1, 0.2
"""Limits for :data:`HALF_A_SIDE`. If the measured shift is within ``NEARLY`` box sides of the shift of the fault, the
tolerated loss in roundness is ``MUCH_SIMPLER`` instead of :data:`SIMPLER`."""
FAR = 2.8
"""Minimum shift, in pixels of the reduced image, that is a fault. Shorter shifts come from drawing by hand."""
LIKE_A_SHIFT = 0.025
"""Logarithm of a scale below which boxes that are close together seem shifted. Then the limits of a shift apply too."""
HURTS = 0.12
"""Minimum loss of IoU that is a fault, if the boxes are compared with boxes of the usual size on their objects."""
SEVERE = 0.35
"""Minimum loss of IoU that is a fault even if the shift is shorter than :data:`FAR`."""
NOTICED = 0.05
"""Minimum loss of IoU that is a warning, if all scenes have it in common."""
TOO_LARGE, TOO_SMALL = 1.11, 0.89
"""Limits of the common size of the boxes in a scene, as multiples of the usual size in the data set."""
CLEARER, CLEARLY = 0.08, 0.3
"""Large boxes are a fault only if ``gain > CLEARER`` and ``gain + size - 1 > CLEARLY``.

``gain`` is the gain in roundness from fitting.
"""
TOO_WIDE = 1.14
"""Maximum ratio of the larger to the smaller of the sizes in x and y in a scene."""
ROUND = (0.85, 0.09)
"""Mean and standard deviation of :attr:`SceneEvidence.single` for correct boxes."""
ODD = 0.05
"""Share of correct boxes without a round object, and of round objects at random places."""
SUPPORT = 4.0
"""Minimum logarithm of the likelihood ratio that decides whether the boxes of a scene are on round objects."""
SEEN_WALL = 2.0
"""Exponent by which the limits of size widen in reduced scenes. Their tanks are so large that wall and lean are seen,
and annotators differ in whether they include them. See :func:`as_usual` for sets of small tanks."""
SURE = 30
"""Number of boxes below which the limits of shift and size widen; see :func:`_doubt`."""


class Answer(StrEnum):
    """Answer to the question whether the boxes match the objects."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "not enough evidence"


@dataclass(frozen=True)
class Verdict:
    """Verdict on a scene.

    Attributes:
        answer: see :class:`Answer`.
        fault: detected fault if the answer is no; otherwise :data:`NO_FAULT`.
        shift: common shift ``(dx, dy)`` of the boxes in pixels, measured by the network.
        size: common size of the boxes in x and y, as multiples of the usual size in the data set.
    """

    answer: Answer
    fault: Fault
    shift: tuple[float, float]
    size: tuple[float, float]


def judge_scene(evidence: SceneEvidence, size: float = NATURAL_SIZE) -> Verdict:
    """Judge a scene; ``size`` is the usual size of boxes in the data set, as a multiple of the object size."""
    measured = evidence.size[0] / size, evidence.size[1] / size

    def verdict(answer: Answer, fault: Fault = NO_FAULT) -> Verdict:
        return Verdict(answer, fault, evidence.shift, measured)

    if evidence.boxes >= FEWEST:
        if moved := _moved(evidence):
            return verdict(Answer.NO, max(moved, key=lambda fault: moved[fault]))
        if _is_fitted(evidence):
            if _is_believed(evidence) and _is_far(evidence, evidence.shift, _doubt(evidence)):
                return verdict(Answer.NO, Fault(faults.SHIFTED, evidence.shift))
            if wrong := _wrong_size(evidence, *measured):
                return verdict(Answer.NO, wrong)
            return verdict(Answer.YES)
    support = support_of(evidence)
    if support < -SUPPORT:
        return verdict(Answer.NO, Fault(faults.UNNAMED))
    if evidence.boxes < FEWEST or support < 0:
        return verdict(Answer.UNKNOWN)
    matches = evidence.settled.get(NO_FAULT, 0.0) >= SITTING
    matches &= evidence.roundness[NO_FAULT] > _enough(evidence, faults.NONE)
    return verdict(Answer.YES if matches else Answer.UNKNOWN)


def support_of(evidence: SceneEvidence) -> float:
    """Return the logarithm of the likelihood ratio of the boxes being on round objects or at random places.

    Each box counts at most ``-log(ODD)`` in either direction. Boxes without area and boxes that the border of the image
    cuts count nothing.
    """
    if not evidence.side:
        return 0.0

    def density(mean: float, deviation: float) -> NDArray[np.float64]:
        deviations = (evidence.single[evidence.shown].astype(np.float64) - mean) / max(deviation, 1e-3)
        return np.asarray(np.exp(-np.minimum(deviations**2, 1000) / 2) / max(deviation, 1e-3) + 1e-9)

    right, wrong = density(*ROUND), density(*evidence.single_chance)
    return float(np.log(((1 - ODD) * right + ODD * wrong) / ((1 - ODD) * wrong + ODD * right)).sum())


def _is_far(evidence: SceneEvidence, shift: tuple[float, ...], doubt: float = 1.0) -> bool:
    """Return whether a shift in pixels is a fault, and not the habit of drawing larger boxes towards one side."""
    if not evidence.side:
        return False
    in_sides = shift[0] / evidence.side, shift[1] / evidence.side
    is_short = math.hypot(*shift) <= FAR * evidence.reduction * doubt
    return loss(in_sides) > (SEVERE if is_short else HURTS) and not is_loose(in_sides, evidence.size)


def _is_like_a_shift(fault: Fault) -> bool:
    """Return whether scales are so close to 1 that boxes close together seem shifted."""
    return max(abs(math.log(scale)) for scale in fault.parameters) < LIKE_A_SHIFT


def _moved(evidence: SceneEvidence) -> dict[Fault, float]:
    """Return the faults that, once undone, make boxes clearly rounder, with ranks; the highest rank is the best."""
    ranks = {}
    for fault, score in evidence.roundness.items():
        settled = evidence.settled.get(fault, 0.0)
        if fault == NO_FAULT or settled < SETTLED or score < _enough(evidence, fault.kind, settled):
            continue
        if fault.kind == faults.SHIFTED and not _is_far(evidence, fault.parameters):
            continue
        is_like_a_shift = fault.kind == faults.SCALED and _is_like_a_shift(fault)
        if is_like_a_shift and _is_fitted(evidence) and not _is_far(evidence, evidence.shift):
            continue
        doubt, than_fitted = BETTER, -SIMPLER
        if fault.kind in HALF_A_SIDE:
            errors = np.array(evidence.shift) - HALF_A_SIDE[fault.kind] * evidence.side
            than_fitted = -MUCH_SIMPLER if (abs(errors) < NEARLY * evidence.side).all() else -SIMPLER
        if fault.kind in SEARCHED:
            than_fitted = THAN_SEEN[fault.kind] if _is_fitted(evidence) else THAN_FITTED
        if fault.kind == faults.SHIFTED or is_like_a_shift:
            doubt = ASIDE * _doubt(evidence) + ASIDE_DEVIATIONS * evidence.chance[1] / evidence.boxes**0.5
        least = max(evidence.roundness[NO_FAULT] + doubt, evidence.fitted + than_fitted)
        if score > least:
            unequal = fault.kind == faults.SCALED and fault.parameters[0] != fault.parameters[1]
            ranks[fault] = score + settled - BY_CHANCE.get(fault.kind, 0.0) - UNEQUAL * unequal
    return ranks


def _is_fitted(evidence: SceneEvidence) -> bool:
    """Return whether fitted boxes are round, so that the error that the network measured is meaningful."""
    settled = evidence.fitted_settled
    return settled >= SETTLED and evidence.fitted > _enough(evidence, faults.RESIZED, settled)


def _is_believed(evidence: SceneEvidence) -> bool:
    """Return whether fitted boxes are at least about as round as the boxes as written; False in some noisy images."""
    return evidence.fitted > evidence.roundness[NO_FAULT] - BETTER


def _enough(evidence: SceneEvidence, kind: str, settled: float = 0.0) -> float:
    """Return the minimum roundness of boxes after a fault of ``kind`` was undone; below it, the fault is rejected."""
    mean, deviation = evidence.chance
    above = ABOVE_CHANCE if settled >= SURELY_SETTLED else SEARCHED.get(kind, ABOVE_CHANCE)
    return float(mean + max(above, DEVIATIONS * deviation / evidence.boxes**0.5))


def _doubt(evidence: SceneEvidence) -> float:
    """Return ``max(1, sqrt(SURE / boxes))``, which widens the limits if there are few boxes."""
    return math.sqrt(max(1.0, SURE / evidence.boxes))


def _habit(evidence: Sequence[SceneEvidence]) -> float:
    """Return the exponent by which the limits of size widen for the habits of annotators; see :data:`SEEN_WALL`."""
    return SEEN_WALL if np.median([scene.reduction for scene in evidence]) > 1 else 1.0


def _wrong_size(evidence: SceneEvidence, x: float, y: float) -> Fault | None:
    """Return the fault if the relative sizes ``x`` and ``y`` of boxes are too large, too small or too unequal."""
    doubt = _doubt(evidence) * _habit([evidence])
    smallest, largest, widest = TOO_SMALL**doubt, TOO_LARGE**doubt, TOO_WIDE**doubt
    if min(x, y) > smallest and evidence.side:  # without the growth towards one side, which is a habit
        in_sides = (min(2 * abs(offset) / evidence.side, LOOSE) for offset in evidence.shift)
        least = [max(side - grown, smallest) for side, grown in zip((x, y), in_sides, strict=True)]
        if max(least) < min(largest, widest * x, widest * y):
            return None
    size = math.sqrt(x * y)
    if _is_believed(evidence) and max(x / y, y / x) > widest:
        return Fault(faults.RESIZED, (x, y))
    gained = evidence.fitted - evidence.roundness[NO_FAULT]
    is_clear = gained > CLEARER and gained + size - 1 > CLEARLY
    if size < smallest or (size > largest and is_clear):
        return Fault(faults.RESIZED, (size, size))
    return None


COMMON_SIZE = 0.12
"""Minimum common relative size error of all scenes that is a fault. Boxes drawn by hand differ by less."""
COMMON_SCENES = 5
"""Minimum number of scenes that must agree on a common shift or size error."""
USUAL_SCENES = 20
"""Number of scenes at which the measured size has the same weight as :data:`NATURAL_SIZE`.

The usual box size in a data set is a weighted mean of the two.
"""
COMMON_RATIO = 1.06
"""Maximum ratio of the larger to the smaller of the common sizes in x and y of all scenes."""
SAME_SCALE = 0.01
"""Relative tolerance for equal scales."""
LIKE_SCALE = 0.04
"""Relative tolerance for scales with one cause. The fewer boxes a scene has, the less accurate its scale is."""


@dataclass(frozen=True)
class DatasetVerdict:
    """Verdict on a data set.

    Attributes:
        answer: no if the scenes share a fault, or if more than half of the judged scenes have one.
        fault: the shared fault, with measured parameters; :data:`NO_FAULT` if there is none.
        error: common error of the scenes with boxes centred on objects; None without such scenes.
        scenes: verdict on each scene.
    """

    answer: Answer
    fault: Fault
    error: SetError | None
    scenes: Mapping[str, Verdict]

    @property
    def shift(self) -> tuple[float, float] | None:
        """Common shift ``(dx, dy)`` in pixels; None if it is unknown."""
        return self.error.shift if self.error else None

    @property
    def size(self) -> float | None:
        """Common size of the boxes, relative to :data:`NATURAL_SIZE`; None if it is unknown."""
        return math.sqrt(math.prod(self.error.size)) if self.error else None

    @property
    def statement(self) -> str:
        """Answer in words: ``no, transposed``, ``not in 2 of 20 scenes``."""
        if self.fault != NO_FAULT:
            return f"no, {self.fault}"
        wrong = sum(verdict.answer == Answer.NO for verdict in self.scenes.values())
        return f"not in {wrong} of {len(self.scenes)} scenes" if wrong else str(self.answer)

    def is_fit(self, scene_id: str) -> bool:
        """Return whether a scene is fit for training. Scenes without evidence share the answer for the data set."""
        answer = self.scenes[scene_id].answer
        return answer == Answer.YES or (answer == Answer.UNKNOWN and self.answer != Answer.NO)


def judge_dataset(evidence: Sequence[SceneEvidence]) -> DatasetVerdict:
    """Judge a data set, and each scene relative to the usual box size in the data set."""
    evidence = as_usual(evidence)
    placed = [scene for scene in evidence if _sits(judge_scene(scene))]
    error = SetError.of(placed) if placed else None
    size = math.sqrt(math.prod(error.size)) if error else 1.0
    ratio = error.size[0] / error.size[1] if error else 1.0
    resized = False
    if len(placed) >= COMMON_SCENES:
        habit = _habit(placed)
        differs = abs(math.log(size)) > habit * math.log1p(COMMON_SIZE)
        resized = differs or max(ratio, 1 / ratio) > COMMON_RATIO**habit
    own = 0.0 if resized else len(placed) / (len(placed) + USUAL_SCENES)
    scenes = {scene.scene_id: judge_scene(scene, NATURAL_SIZE * size**own) for scene in evidence}
    sitting = [scene for scene in evidence if _sits(scenes[scene.scene_id])]
    error = SetError.of(sitting) if sitting else None
    judged = [verdict for verdict in scenes.values() if verdict.answer != Answer.UNKNOWN]
    wrong = [verdict.fault for verdict in judged if verdict.answer == Answer.NO]
    fault = common_fault(wrong, len(judged))
    if fault.kind == faults.NONE and error and error.scenes >= COMMON_SCENES and error.sure_loss > HURTS:
        fault = Fault(faults.SHIFTED, error.shift)  # checked before the size, because a shift disturbs the size
    elif fault.kind == faults.RESIZED or (fault.kind == faults.NONE and resized):
        fault = Fault(faults.RESIZED, (size * ratio**0.5, size / ratio**0.5))
    if fault.kind in (faults.SHIFTED, faults.RESIZED):
        scenes = {name: _as_most(verdict, fault) for name, verdict in scenes.items()}
    if fault.kind != faults.NONE or 2 * len(wrong) > len(judged):
        answer = Answer.NO
    else:
        answer = Answer.YES if judged else Answer.UNKNOWN
    return DatasetVerdict(answer, fault, error, scenes)


def as_usual(evidence: Sequence[SceneEvidence]) -> list[SceneEvidence]:
    """Set the reduction of all scenes to 1 if most scenes were not reduced.

    The limits of shift and size widen with the reduction. But where most tanks are small, walls and lean are hardly
    visible, and the boxes of large tanks should be as accurate in pixels as the other boxes.
    """
    if np.median([scene.reduction for scene in evidence if scene.boxes] or [1]) > 1:
        return list(evidence)
    return [replace(scene, reduction=1) for scene in evidence]


def common_fault(scene_faults: Sequence[Fault], judged: int) -> Fault:
    """Return the fault that more than half of the judged scenes share, with median parameters; otherwise no fault.

    Scenes with an unnamed fault do not count, because they may have any fault.
    """
    judged -= sum(fault.kind == faults.UNNAMED for fault in scene_faults)
    for kind in {fault.kind for fault in scene_faults} - {faults.UNNAMED}:
        alike = [fault for fault in scene_faults if fault.kind == kind]
        middle = tuple(float(value) for value in np.median([fault.parameters for fault in alike], axis=0))
        if kind == faults.SCALED:
            alike = [fault for fault in alike if np.allclose(fault.parameters, middle, rtol=LIKE_SCALE)]
        if 2 * len(alike) > judged:
            return Fault(kind, middle)
    return Fault()


def agrees(own: Fault, common: Fault) -> bool:
    """Return whether the fault of a scene is the common fault of the data set, within the measurement error."""
    if own.kind != common.kind:
        return False
    if own.kind == faults.SHIFTED:
        return bool(np.hypot(*np.subtract(own.parameters, common.parameters)) <= FAR)
    return own.kind != faults.SCALED or np.allclose(own.parameters, common.parameters, rtol=SAME_SCALE)


def _as_most(verdict: Verdict, common: Fault) -> Verdict:
    """Judge a scene again if the common shift or size of the data set describes its boxes better than no fault does.

    A shift by half a side becomes a shift in pixels if it is close to the common shift.
    """
    if common.kind == faults.SHIFTED:
        own, shared = np.array(verdict.shift), np.array(common.parameters)
    else:
        own, shared = np.log(verdict.size), np.log(common.parameters)
    if verdict.answer == Answer.YES and np.linalg.norm(own - shared) < np.linalg.norm(own):
        return replace(verdict, answer=Answer.NO, fault=common)
    shifted = Fault(faults.SHIFTED, verdict.shift)
    return replace(verdict, fault=shifted) if verdict.fault.kind in HALF_A_SIDE and agrees(shifted, common) else verdict


def _sits(verdict: Verdict) -> bool:
    """Return whether a scene was judged and its boxes are centred on objects."""
    return verdict.answer != Answer.UNKNOWN and verdict.fault.kind in (faults.NONE, faults.RESIZED)
