"""Precision, recall and F1 as functions of the score threshold, and average precision."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.matching import Matched
from oil_storage.evaluation.outcomes import Outcomes

RECALLS = np.linspace(0, 1, 101)
"""Recall values at which COCO samples the precision."""


@dataclass(frozen=True)
class Curve:
    """Precision and recall at IoU 0.5, with each distinct score as the score threshold.

    Attributes:
        thresholds: ``(K,)``, the distinct scores, in descending order. A threshold drops detections with lower scores.
        precision: ``(K,)``, precision at each threshold.
        recall: ``(K,)``, recall at each threshold; nan if there are no objects.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall, ``(K,)``, or 0 where both are 0."""
        total = self.precision + self.recall
        f1: NDArray[np.float64] = np.divide(
            2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0
        )
        return f1

    def best_threshold(self) -> float | None:
        """Return the threshold with the highest F1, the largest if several have it; None without detections."""
        return float(self.thresholds[np.argmax(self.f1)]) if len(self.thresholds) else None


def curve(scenes: Sequence[Matched]) -> Curve:
    """Compute precision and recall over all scenes together, with each distinct score as the threshold."""
    scores = np.concatenate([np.zeros(0), *(scene.scores for scene in scenes)])
    right = np.concatenate([np.zeros(0, bool), *(scene.right for scene in scenes)])
    objects = sum(len(scene.result.truth) for scene in scenes)
    order = np.argsort(-scores, kind="stable")
    scores, true_positives = scores[order], np.cumsum(right[order])
    # a threshold admits all detections with the same score
    last = np.flatnonzero(np.diff(scores, append=-np.inf))
    true_positives = true_positives[last]
    recall = true_positives / objects if objects else np.full(len(last), np.nan)
    return Curve(scores[last], true_positives / (last + 1), recall)


@dataclass(frozen=True)
class At:
    """Precision, recall and F1 at one score threshold and IoU 0.5.

    Attributes:
        threshold: score threshold.
        precision: fraction of the detections that are correct; nan if there are no detections.
        recall: fraction of the objects that are detected; nan if there are no objects.
        f1: harmonic mean of precision and recall; nan if there are neither detections nor objects.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


def at_threshold(scenes: Sequence[Matched], threshold: float) -> At:
    """Compute precision, recall and F1 of the detections with scores of at least ``threshold``."""
    right = sum(int(scene.right[scene.scores >= threshold].sum()) for scene in scenes)
    detections = sum(int((scene.scores >= threshold).sum()) for scene in scenes)
    objects = sum(len(scene.result.truth) for scene in scenes)

    def share(number: int, of: int) -> float:
        return number / of if of else float("nan")

    return At(threshold, share(right, detections), share(right, objects), share(2 * right, detections + objects))


def voc_ap(scenes: Sequence[Matched]) -> tuple[float, float]:
    """Compute Pascal VOC's average precision at IoU 0.5.

    Detections are matched by COCO's rules. Detections with equal scores form one point of the curve.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", https://doi.org/10.1007/s11263-009-0275-4.

    Returns:
        tuple: the 11-point average (the metric until 2009), and the area under the precision-recall curve. Both are nan
        if there are no objects.
    """
    points = curve(scenes)
    if not any(len(scene.result.truth) for scene in scenes):
        return float("nan"), float("nan")
    envelope = np.maximum.accumulate(points.precision[::-1])[::-1]
    eleven = [max(points.precision[points.recall >= recall - 1e-12], default=0.0) for recall in np.linspace(0, 1, 11)]
    return float(np.mean(eleven)), float((envelope * np.diff(points.recall, prepend=0.0)).sum())


def average_precision(scores: NDArray[np.float32], right: NDArray[np.bool_], objects: int) -> float:
    """Compute COCO's average precision at one IoU threshold.

    Args:
        scores: ``(M,)``, in any order.
        right: ``(M,)``, True for correct detections.
        objects: number of objects; the result is nan if there are none.
    """
    order = np.argsort(-scores, kind="stable")
    return float(_interpolated(np.cumsum(right[order], dtype=np.int64)[None], np.arange(1, len(order) + 1), objects)[0])


def _interpolated(true_positives: NDArray[np.int64], total: NDArray[np.int64], objects: int) -> NDArray[np.float64]:
    """Average the precision over COCO's 101 recall values. Return ``(K,)``, the average at each IoU threshold.

    Args:
        true_positives: ``(K, M)``, number of correct detections up to each of M detections by descending score.
        total: ``(M,)``, number of all detections up to there.
        objects: number of objects; the result is nan if there are none.
    """
    if not objects:
        return np.full(len(true_positives), np.nan)
    precision = np.divide(true_positives, total, out=np.zeros(true_positives.shape), where=total > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    sums = []
    for level in range(len(true_positives)):
        ranks = np.searchsorted(true_positives[level] / objects, RECALLS, side="left")
        sums.append(float(envelope[level][ranks[ranks < len(total)]].sum()))
    return np.array(sums) / len(RECALLS)


class AveragePrecision:
    """COCO's average precision of weighted scenes. Each scene counts zero or more times, as in a bootstrap sample.

    If each scene counts once, the result is the AP of :func:`oil_storage.evaluation.dense_coco.score`.

    Args:
        outcomes: outcomes of all scenes.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        # between two correct detections the precision only falls, so it is needed at correct ones only
        at = np.flatnonzero(outcomes.right.any(axis=0))
        scenes = len(outcomes.names)
        self.scene, self.right, self.objects = outcomes.scene[at], outcomes.right[:, at], outcomes.objects
        ranks = [np.flatnonzero(outcomes.scene == scene) for scene in range(scenes)]
        self.total = np.array([np.searchsorted(rank, at, side="right") for rank in ranks]).reshape(scenes, len(at))

    def __call__(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the average precision at each of :data:`~oil_storage.evaluation.matching.IOUS`, ``(10,)``.

        Args:
            weights: ``(S,)``, number of times that each of the S scenes counts.
        """
        true_positives = np.cumsum(self.right * weights[self.scene], axis=1, dtype=np.int64)
        return _interpolated(true_positives, weights @ self.total, int(weights @ self.objects))
