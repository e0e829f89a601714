"""The verdict on a whole data set: a fault that all scenes share, and the scenes that are wrong alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.evidence import SceneEvidence
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.verdict import FAR, HALF_A_SIDE, NATURAL_SIZE, Answer, Verdict, judge_scene

SITTING = (faults.NONE, faults.RESIZED)
"""Kinds of boxes that lie about their objects' centres."""

COMMON_SHIFT = 1.5
"""Pixels: a shift that the scenes have in common is a fault from here, one scene's own only from several pixels."""
COMMON_SIZE = 0.12
"""Relative: as :data:`COMMON_SHIFT`, for the size; people who draw tightly and people who don't differ by less."""
COMMON_SCENES = 5
"""Scenes that have to agree before a fault is told that a single scene is too uncertain to show."""
USUAL_SCENES = 20
"""Scenes whose own size counts as much as the natural one in telling how those who drew them usually draw."""
COMMON_RATIO = 1.06
"""Of the sizes in x and y, or its inverse."""
SAME_SCALE = 0.01
"""Scales of two scenes that differ by less, relatively, are one."""


@dataclass(frozen=True)
class DatasetVerdict:
    """What is said of a data set.

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
    """Judge a data set, and each scene by the habits of those who drew the others.

    Args:
        evidence: one for each scene.

    Returns:
        DatasetVerdict: see there.
    """
    placed = [one for one in evidence if judge_scene(one).answer != Answer.UNKNOWN and _sits(judge_scene(one))]
    sizes = np.array([one.size for one in placed] or [(NATURAL_SIZE, NATURAL_SIZE)])
    size = float(np.median(np.sqrt(sizes.prod(axis=1))))
    ratio = float(np.median(sizes[:, 0] / sizes[:, 1]))
    error = size / NATURAL_SIZE
    differs = abs(error - 1) > COMMON_SIZE or max(ratio, 1 / ratio) > COMMON_RATIO
    resized = differs and len(placed) >= COMMON_SCENES
    own = 0.0 if resized else len(placed) / (len(placed) + USUAL_SCENES)
    usual = NATURAL_SIZE ** (1 - own) * size**own
    scenes = {one.scene_id: judge_scene(one, usual) for one in evidence}
    sitting = [verdict for verdict in scenes.values() if verdict.answer != Answer.UNKNOWN and _sits(verdict)]
    dx, dy = np.median([one.shift for one in sitting] or [(0.0, 0.0)], axis=0)
    shift = float(dx), float(dy)
    alike = [one for one in sitting if np.hypot(*np.subtract(one.shift, shift)) <= COMMON_SHIFT]
    shifted = np.hypot(*shift) > COMMON_SHIFT and len(alike) >= COMMON_SCENES and 2 * len(alike) > len(sitting)
    judged = [verdict for verdict in scenes.values() if verdict.answer != Answer.UNKNOWN]
    fault = common_fault([verdict.fault for verdict in judged if verdict.answer == Answer.NO], len(judged))
    measured = Fault(faults.RESIZED, (error * ratio**0.5, error / ratio**0.5))
    if fault.kind == faults.RESIZED:
        fault = measured
    elif fault.kind == faults.NONE and shifted:  # before the size, which it disturbs
        fault = Fault(faults.SHIFTED, shift)
    elif fault.kind == faults.NONE and resized:
        fault = measured
    if fault.kind == faults.SHIFTED:
        scenes = {name: _as_others_shifted(verdict, fault) for name, verdict in scenes.items()}
    answer = Answer.NO if fault.kind != faults.NONE else Answer.YES if judged else Answer.UNKNOWN
    return DatasetVerdict(answer, fault, shift if sitting else None, error if placed else None, scenes)


def common_fault(found: Sequence[Fault], judged: int) -> Fault:
    """The fault that more than half of the judged scenes have, with the median of their parameters; else none."""
    for kind in {fault.kind for fault in found}:
        alike = [fault for fault in found if fault.kind == kind]
        middle = tuple(float(value) for value in np.median([fault.parameters for fault in alike], axis=0))
        if kind == faults.SCALED:
            alike = [fault for fault in alike if agrees(fault, Fault(kind, middle))]
        if 2 * len(alike) > judged:
            return Fault(kind, middle)
    return Fault()


def agrees(own: Fault, common: Fault) -> bool:
    """Whether a scene's own fault is the one that all have, which is measured better."""
    if own.kind != common.kind:
        return False
    if own.kind == faults.SHIFTED:
        return bool(np.hypot(*np.subtract(own.parameters, common.parameters)) <= FAR)
    return own.kind != faults.SCALED or np.allclose(own.parameters, common.parameters, rtol=SAME_SCALE)


def _as_others_shifted(verdict: Verdict, common: Fault) -> Verdict:
    """Where boxes are as large as the shift is far, it seems to be a corner taken for a centre."""
    shifted = Fault(faults.SHIFTED, verdict.shift)
    return replace(verdict, fault=shifted) if verdict.fault.kind in HALF_A_SIDE and agrees(shifted, common) else verdict


def _sits(verdict: Verdict) -> bool:
    """Whether boxes as written lie about the objects' centres."""
    return verdict.fault.kind in SITTING
