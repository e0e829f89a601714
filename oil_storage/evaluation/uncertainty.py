"""How much figures would vary if other scenes had been scored: the bootstrap over scenes."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.curves import AveragePrecision
from oil_storage.evaluation.matching import Matched

RESAMPLED = 1000
"""Times that scenes are drawn."""
INTERVAL = (2.5, 97.5)
"""Percentiles: 95 % lie between."""
SEED = 0

Figures = dict[str, float]


def resampled(scenes: Sequence[Matched], threshold: float) -> Callable[[NDArray[np.int64]], Figures]:
    """A function of weights ``(S,)``, how often each scene counts, to ``ap``, ``ap50`` and ``f1`` at ``threshold``."""
    average_precision = AveragePrecision(scenes)
    counting = [one.scores >= threshold for one in scenes]
    right = np.array([(one.right & counts).sum() for one, counts in zip(scenes, counting, strict=True)])
    claimed = np.array([counts.sum() + len(one.result.truth) for one, counts in zip(scenes, counting, strict=True)])

    def figures(weights: NDArray[np.int64]) -> Figures:
        ap = average_precision(weights)
        total = weights @ claimed
        return {
            "ap": float(ap.mean()),
            "ap50": float(ap[0]),
            "f1": float(2 * (weights @ right) / total) if total else float("nan"),
        }

    return figures


def draws(scenes: int) -> NDArray[np.int64]:
    """How often each of ``scenes`` counts, each time that as many are drawn with replacement: ``(1000, S)``."""
    rng = np.random.default_rng(SEED)
    drawn: NDArray[np.int64] = rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=RESAMPLED)
    return drawn


def intervals(scenes: Sequence[Matched], threshold: float) -> dict[str, list[float]]:
    """95 % intervals of ``ap``, ``ap50`` and ``f1`` by the percentile bootstrap over scenes.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Returns:
        dict: lower and upper end of each; nan where there is no object, or a single scene.
    """
    figures = resampled(scenes, threshold)
    return _spans([figures(weights) for weights in draws(len(scenes))], len(scenes))


def differences(
    first: Sequence[Matched], second: Sequence[Matched], thresholds: tuple[float, float]
) -> dict[str, list[float]]:
    """95 % intervals of what the second of two detectors has more than the first, on the same scenes.

    Both are resampled alike (the paired bootstrap), so that what is hard for both is no difference.

    Raises:
        ValueError: not the same scenes.
    """
    if [one.result.scene_id for one in first] != [one.result.scene_id for one in second]:
        raise ValueError("the two are not of the same scenes")
    of_first, of_second = (
        resampled(scenes, threshold) for scenes, threshold in zip((first, second), thresholds, strict=True)
    )
    drawn = []
    for weights in draws(len(first)):
        before, after = of_first(weights), of_second(weights)
        drawn.append({name: after[name] - before[name] for name in before})
    return _spans(drawn, len(first))


def _spans(drawn: Sequence[Figures], scenes: int) -> dict[str, list[float]]:
    spans = {}
    for name in drawn[0]:
        values = [one[name] for one in drawn if not math.isnan(one[name])]  # a draw without any object has no figure
        known = values and scenes > 1  # one scene says nothing of others
        spans[name] = [float(end) for end in np.percentile(values, INTERVAL)] if known else [math.nan, math.nan]
    return spans
