"""How much figures would vary if other scenes had been scored: the bootstrap over scenes."""

import math
from collections.abc import Callable, Sequence
from statistics import mean

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
Scored = tuple[Sequence[Matched], float]
"""Scenes, and the score threshold for their F1."""


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


def draws(scenes: int, seed: int = SEED) -> NDArray[np.int64]:
    """How often each of ``scenes`` counts, each time that as many are drawn with replacement: ``(1000, S)``."""
    rng = np.random.default_rng(seed)
    drawn: NDArray[np.int64] = rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=RESAMPLED)
    return drawn


def intervals(runs: Sequence[Scored]) -> dict[str, list[float]]:
    """95 % intervals of ``ap``, ``ap50`` and ``f1``, means over runs, by the percentile bootstrap over scenes.

    Runs on the same scenes, as of several seeds, are resampled alike; the scenes of folds each on their own.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        runs: one, or several of one detector.

    Returns:
        dict: lower and upper end of each; nan where there is no object, or a single scene.
    """
    return _spans(_drawn(runs), runs)


def differences(first: Sequence[Scored], second: Sequence[Scored]) -> dict[str, list[float]]:
    """95 % intervals of what the second of two detectors has more than the first, on the same scenes.

    Both are resampled alike (the paired bootstrap), so that what is hard for both is no difference.

    Raises:
        ValueError: not the same scenes.
    """
    if {_names(run) for run in first} != {_names(run) for run in second}:
        raise ValueError("the two are not of the same scenes")
    pairs = zip(_drawn(first), _drawn(second), strict=True)
    return _spans([{name: after[name] - before[name] for name in before} for before, after in pairs], first)


def _names(run: Scored) -> tuple[str, ...]:
    return tuple(one.result.scene_id for one in run[0])


def _drawn(runs: Sequence[Scored]) -> list[Figures]:
    """Means over the runs, for each time that scenes are drawn."""
    sets = sorted({_names(run) for run in runs})
    weights = {names: draws(len(names), SEED + index) for index, names in enumerate(sets)}
    figures = []
    for run in runs:
        figures_of = resampled(*run)
        figures.append([figures_of(each) for each in weights[_names(run)]])
    return [{name: mean(one[name] for one in drawn) for name in drawn[0]} for drawn in zip(*figures, strict=True)]


def _spans(drawn: Sequence[Figures], runs: Sequence[Scored]) -> dict[str, list[float]]:
    fewest = min(len(scenes) for scenes, _ in runs)
    spans = {}
    for name in drawn[0]:
        values = [one[name] for one in drawn if not math.isnan(one[name])]  # a draw without any object has no figure
        known = values and fewest > 1  # one scene says nothing of others
        spans[name] = [float(end) for end in np.percentile(values, INTERVAL)] if known else [math.nan, math.nan]
    return spans
