"""Precision, recall and F1 over the score threshold, and the average precisions that are read off them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.dense_coco import MAX_DETECTIONS
from oil_storage.evaluation.matching import IOUS, Matched

RECALLS = np.linspace(0, 1, 101)
"""Where COCO reads precision."""


@dataclass(frozen=True)
class Curve:
    """Precision and recall at IoU 0.5 if detections below a threshold are left out, for each score that occurs.

    Attributes:
        thresholds: ``(K,)``, falling: detections of this score and above count.
        precision: ``(K,)``.
        recall: ``(K,)``; nan where there is no object at all.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def f1(self) -> NDArray[np.float64]:
        """``(K,)``: harmonic mean of precision and recall; 0 where both are."""
        total = self.precision + self.recall
        f1: NDArray[np.float64] = np.divide(
            2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0
        )
        return f1

    def best_threshold(self) -> float | None:
        """The threshold of the best F1, the highest of equal ones; None without detections."""
        return float(self.thresholds[np.argmax(self.f1)]) if len(self.thresholds) else None


def curve(scenes: Sequence[Matched]) -> Curve:
    """The curve of all scenes together."""
    scores = np.concatenate([np.zeros(0), *(one.scores for one in scenes)])
    right = np.concatenate([np.zeros(0, bool), *(one.right for one in scenes)])
    objects = sum(len(one.result.truth) for one in scenes)
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(right[order])
    # detections of one score come in together
    last = np.flatnonzero(np.diff(scores, append=-np.inf))
    precision = found[last] / (last + 1)
    return Curve(scores[last], precision, found[last] / objects if objects else np.full(len(last), np.nan))


@dataclass(frozen=True)
class At:
    """Figures at one score threshold and IoU 0.5.

    Attributes:
        threshold: of the score.
        precision: share of the detections that are right; nan where there is none.
        recall: share of the objects that are found; nan where there is none.
        f1: 2 right / (detections + objects); nan where there is neither.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


def at_threshold(scenes: Sequence[Matched], threshold: float) -> At:
    """Precision, recall and F1 of the detections whose scores reach ``threshold``."""
    right = sum(int(one.right[one.scores >= threshold].sum()) for one in scenes)
    detections = sum(int((one.scores >= threshold).sum()) for one in scenes)
    objects = sum(len(one.result.truth) for one in scenes)

    def share(number: int, of: int) -> float:
        return number / of if of else float("nan")

    return At(threshold, share(right, detections), share(right, objects), share(2 * right, detections + objects))


def voc_ap(scenes: Sequence[Matched]) -> tuple[float, float]:
    """Pascal VOC's average precision at IoU 0.5.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", https://doi.org/10.1007/s11263-009-0275-4;
    matches are COCO's, and of equal scores all come in together.

    Returns:
        tuple: read at 11 recalls (as until 2009), and the area below the curve; nan without objects.
    """
    one = curve(scenes)
    if not any(len(scene.result.truth) for scene in scenes):
        return float("nan"), float("nan")
    envelope = np.maximum.accumulate(one.precision[::-1])[::-1]
    eleven = [max(one.precision[one.recall >= recall - 1e-12], default=0.0) for recall in np.linspace(0, 1, 11)]
    return float(np.mean(eleven)), float((envelope * np.diff(one.recall, prepend=0.0)).sum())


def average_precision(scores: NDArray[np.float32], right: NDArray[np.bool_], objects: int) -> float:
    """COCO's average precision at one IoU.

    Args:
        scores: ``(M,)``, in any order.
        right: ``(M,)``: which detections are right.
        objects: number that there is; nan results from 0.
    """
    order = np.argsort(-scores, kind="stable")
    return float(_interpolated(np.cumsum(right[order], dtype=np.int64)[None], np.arange(1, len(order) + 1), objects)[0])


def _interpolated(found: NDArray[np.int64], seen: NDArray[np.int64], objects: int) -> NDArray[np.float64]:
    """Mean of the precision at 101 recalls, ``(K,)``, of right detections ``(K, M)`` among those seen ``(M,)``."""
    if not objects:
        return np.full(len(found), np.nan)
    precision = np.divide(found, seen, out=np.zeros(found.shape), where=seen > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    sums = []
    for level in range(len(found)):
        places = np.searchsorted(found[level] / objects, RECALLS, side="left")
        sums.append(float(envelope[level][places[places < len(seen)]].sum()))
    return np.array(sums) / len(RECALLS)


class AveragePrecision:
    """COCO's average precision of scenes that count a number of times each, for resampling them.

    With a weight of 1 each it is what :func:`oil_storage.evaluation.dense_coco.score` gives, its limit of detections
    included.

    Args:
        scenes: all.
    """

    def __init__(self, scenes: Sequence[Matched]) -> None:
        scores = np.concatenate([np.zeros(0), *(one.scores[:MAX_DETECTIONS] for one in scenes)])
        order = np.argsort(-scores, kind="stable")
        numbers = [min(len(one.scores), MAX_DETECTIONS) for one in scenes]
        right = [one.at[:, :MAX_DETECTIONS] >= 0 for one in scenes]
        self.scene = np.repeat(np.arange(len(scenes)), numbers)[order]
        self.right = np.concatenate([np.zeros((len(IOUS), 0), bool), *right], axis=1)[:, order]
        self.objects = np.array([len(one.result.truth) for one in scenes])

    def __call__(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Average precision at each of :data:`~oil_storage.evaluation.matching.IOUS`, ``(10,)``.

        Args:
            weights: ``(S,)``: how often each scene counts.
        """
        weight = weights[self.scene]
        found = np.cumsum(self.right * weight, axis=1, dtype=np.int64)
        return _interpolated(found, np.cumsum(weight), int(weights @ self.objects))
