"""Match detections to ground truth (COCO rules)."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOUS = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds."""


@dataclass(frozen=True)
class SceneResult:
    """Detections and ground truth of one whole scene.

    Attributes:
        scene_id: the scene's name.
        width: of the scene, pixels.
        height: of the scene, pixels.
        truth: ``(N, 4)`` float32 xyxy, pixels of the scene.
        boxes: ``(M, 4)`` float32 xyxy, pixels of the scene.
        scores: ``(M,)`` float32.
        windows: ``(T, 4)`` int64 xyxy: the tiles that were looked at; None where the scene was looked at as a whole.
        gsd: metres per pixel; None where it is not known.
    """

    scene_id: str
    width: int
    height: int
    truth: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    windows: NDArray[np.int64] | None = None
    gsd: float | None = None


def iou_matrix(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """IoU of each of ``a``, ``(N, 4)`` xyxy, with each of ``b``, ``(M, 4)``: ``(N, M)``."""
    first, second = a[:, None].astype(np.float64), b[None].astype(np.float64)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    common = np.clip(sides, 0, None).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - common
    iou: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return iou


def match(ious: NDArray[np.float64], scores: NDArray[np.float32], threshold: float = 0.5) -> NDArray[np.int64]:
    """Match as COCO does: best scores choose first, each the free object that it overlaps most.

    A detection's match does not depend on those of lower scores, so that one matching serves every score threshold.

    Args:
        ious: ``(M, N)`` of detections and objects.
        scores: ``(M,)``; equal ones choose in the order given.
        threshold: least IoU of a match.

    Returns:
        ``(M,)``: index of the object, or -1.
    """
    matched = np.full(len(scores), -1, np.int64)
    free = np.ones(ious.shape[1], bool)
    reaching = np.flatnonzero((ious >= threshold).any(axis=1))
    for index in reaching[np.argsort(-scores[reaching], kind="stable")]:
        candidates = np.where(free, ious[index], -1.0)
        # of equal ones the last, as COCO's loop keeps it
        best = ious.shape[1] - 1 - int(np.argmax(candidates[::-1]))
        if candidates[best] >= threshold:
            matched[index] = best
            free[best] = False
    return matched


class Matched:
    """Detections of a scene, best scores first.

    Args:
        result: of the scene.

    Attributes:
        result: as given.
        boxes: ``(M, 4)``.
        scores: ``(M,)``, falling.
        ious: ``(M, N)`` with the scene's objects.
        at: ``(10, M)``: the matches at each of :data:`IOUS`, as :func:`match` gives them.
    """

    def __init__(self, result: SceneResult) -> None:
        # of equal scores by place, so that no figure depends on the order given
        order = np.lexsort((*result.boxes.T[::-1], -result.scores))
        self.result = result
        self.boxes, self.scores = result.boxes[order], result.scores[order]
        self.ious = iou_matrix(self.boxes, result.truth)
        self.at = np.stack([match(self.ious, self.scores, threshold) for threshold in IOUS])

    @property
    def right(self) -> NDArray[np.bool_]:
        """``(M,)``: which detections are right at IoU 0.5."""
        is_right: NDArray[np.bool_] = self.at[0] >= 0
        return is_right


def match_scenes(results: Sequence[SceneResult]) -> list[Matched]:
    """Match every scene, in the order of their names, so that no figure depends on the order given."""
    return [Matched(result) for result in sorted(results, key=lambda one: one.scene_id)]


def truth_sha256(scenes: Iterable[SceneResult]) -> str:
    """SHA-256 of what is there, to a tenth of a pixel: equal where scores can be compared, whatever the format was."""
    there = sorted((one.scene_id, one.width, one.height, _rounded(one.truth)) for one in scenes)
    return hashlib.sha256(json.dumps(there).encode()).hexdigest()


def _rounded(boxes: NDArray[np.float32]) -> list[list[int]]:
    rounded: list[list[int]] = sorted(np.rint(boxes.astype(np.float64) * 10).astype(int).tolist())
    return rounded
