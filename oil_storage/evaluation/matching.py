"""Match detections to ground truth (COCO rules)."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oil_storage.iou import iou_matrix

IOUS = np.linspace(0.5, 0.95, 10)
"""COCO's IoU thresholds."""


@dataclass(frozen=True)
class SceneResult:
    """Detections and ground truth of one scene. Boxes are xyxy in pixels of the scene.

    Attributes:
        scene_id: name of the scene.
        width: width of the scene, in pixels.
        height: height of the scene, in pixels.
        truth: ground-truth boxes, ``(N, 4)`` float32.
        boxes: detected boxes, ``(M, 4)`` float32.
        scores: scores of the detections, ``(M,)`` float32.
        windows: windows of the tiles, ``(T, 4)`` xyxy int64; None if the scene was not tiled.
        gsd: ground sampling distance in metres per pixel; None if it is not known.
    """

    scene_id: str
    width: int
    height: int
    truth: NDArray[np.float32]
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    windows: NDArray[np.int64] | None = None
    gsd: float | None = None


def match(ious: NDArray[np.float64], scores: NDArray[np.float32], threshold: float = 0.5) -> NDArray[np.int64]:
    """Match detections to objects by COCO's rules.

    Detections are processed by descending score. Of the objects that are still unmatched, each detection takes the one
    with the highest IoU, if this is at least ``threshold``. Detections with lower scores do not change a match, so one
    matching is valid for all score thresholds.

    Args:
        ious: IoU of detections and objects, ``(M, N)``.
        scores: ``(M,)``; detections with equal scores are processed in the given order.
        threshold: minimum IoU of a match.

    Returns:
        Index of the object that each detection matches, or -1, ``(M,)``.
    """
    matched = np.full(len(scores), -1, np.int64)
    free = np.ones(ious.shape[1], bool)
    reaching = np.flatnonzero((ious >= threshold).any(axis=1))
    for index in reaching[np.argsort(-scores[reaching], kind="stable")]:
        candidates = np.where(free, ious[index], -1.0)
        # among objects with equal IoU, COCO takes the last
        best = ious.shape[1] - 1 - int(np.argmax(candidates[::-1]))
        if candidates[best] >= threshold:
            matched[index] = best
            free[best] = False
    return matched


class Matched:
    """Detections of a scene, sorted by descending score and matched to the objects.

    Args:
        result: detections and ground truth of the scene.

    Attributes:
        result: the argument.
        boxes: ``(M, 4)`` xyxy, in pixels of the scene.
        scores: ``(M,)``, descending.
        ious: IoU with the objects of the scene, ``(M, N)``.
        at: result of :func:`match` for each of :data:`IOUS`, ``(10, M)``.
        right: whether each detection is correct at IoU 0.5, ``(M,)``.
    """

    def __init__(self, result: SceneResult) -> None:
        # equal scores are sorted by position, so that the result does not depend on the order of the input
        order = np.lexsort((*result.boxes.T[::-1], -result.scores))
        self.result = result
        self.boxes, self.scores = result.boxes[order], result.scores[order]
        self.ious = iou_matrix(self.boxes, result.truth)
        self.at = np.stack([match(self.ious, self.scores, threshold) for threshold in IOUS])
        self.right: NDArray[np.bool_] = self.at[0] >= 0


def match_scenes(results: Sequence[SceneResult]) -> list[Matched]:
    """Match every scene. Sort the scenes by name, so that no metric depends on the order of the input."""
    return [Matched(result) for result in sorted(results, key=lambda result: result.scene_id)]


def truth_sha256(scenes: Iterable[SceneResult]) -> str:
    """Return the SHA-256 of the ground truth. Boxes are rounded to 0.1 px, so all file formats give the same hash."""
    content = sorted((scene.scene_id, scene.width, scene.height, _rounded(scene.truth)) for scene in scenes)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _rounded(boxes: NDArray[np.float32]) -> list[list[int]]:
    rounded: list[list[int]] = sorted(np.rint(boxes.astype(np.float64) * 10).astype(int).tolist())
    return rounded
