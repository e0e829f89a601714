"""Confidence intervals of metrics by the bootstrap over scenes."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.curves import AveragePrecision
from oil_storage.evaluation.outcomes import Outcomes

RESAMPLED = 1000
"""Number of bootstrap samples."""
INTERVAL = (2.5, 97.5)
"""Percentiles at the two ends of an interval."""
SEED = 0

Figures = dict[str, float]


def resampled(outcomes: Outcomes) -> Callable[[NDArray[np.int64]], Figures]:
    """Return a function that computes ``ap``, ``ap50`` and ``f1`` of weighted scenes.

    The argument of this function, ``(S,)``, is the number of times that each of the S scenes counts.
    """
    average_precision = AveragePrecision(outcomes)
    claimed = outcomes.found + outcomes.objects

    def figures(weights: NDArray[np.int64]) -> Figures:
        ap = average_precision(weights)
        total = weights @ claimed
        return {
            "ap": float(ap.mean()),
            "ap50": float(ap[0]),
            "f1": float(2 * (weights @ outcomes.correct) / total) if total else float("nan"),
        }

    return figures


def draws(scenes: int, seed: int = SEED) -> NDArray[np.int64]:
    """Draw bootstrap samples of S scenes. Return how often each sample contains each scene, ``(1000, S)``."""
    rng = np.random.default_rng(seed)
    drawn: NDArray[np.int64] = rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=RESAMPLED)
    return drawn


def intervals(runs: Sequence[Outcomes]) -> dict[str, list[float]]:
    """Compute 95 % intervals of the mean ``ap``, ``ap50`` and ``f1`` of runs by the percentile bootstrap.

    Runs on the same scenes (several seeds) share their bootstrap samples. Runs on different scenes (folds) are sampled
    independently.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        runs: outcomes of one or more runs of one detector.

    Returns:
        dict: lower and upper end of each interval; nan if there are no objects or only one scene.
    """
    return _spans(_drawn(runs), runs)


def differences(first: Sequence[Outcomes], second: Sequence[Outcomes]) -> dict[str, list[float]]:
    """Compute 95 % intervals of the difference (second minus first) between two detectors on the same scenes.

    Both detectors use the same bootstrap samples (paired bootstrap), so the difficulty of the scenes cancels out.

    Raises:
        ValueError: the detectors were not tested on the same scenes.
    """
    if {run.names for run in first} != {run.names for run in second}:
        raise ValueError("the detectors were not tested on the same scenes")
    pairs = zip(_drawn(first), _drawn(second), strict=True)
    return _spans([{name: after[name] - before[name] for name in before} for before, after in pairs], first)


def _drawn(runs: Sequence[Outcomes]) -> list[Figures]:
    """Compute the mean figures of the runs for each bootstrap sample."""
    sets = sorted({run.names for run in runs})
    figures = [_drawn_once(run, SEED + sets.index(run.names)) for run in runs]
    return [{name: mean(run[name] for run in sample) for name in sample[0]} for sample in zip(*figures, strict=True)]


@lru_cache(maxsize=64)
def _drawn_once(run: Outcomes, seed: int) -> list[Figures]:
    figures_of = resampled(run)
    return [figures_of(weights) for weights in draws(len(run.names), seed)]


def _spans(drawn: Sequence[Figures], runs: Sequence[Outcomes]) -> dict[str, list[float]]:
    fewest = min(len(run.names) for run in runs)
    spans = {}
    for name in drawn[0]:
        values = [sample[name] for sample in drawn if not math.isnan(sample[name])]  # nan in samples without objects
        is_known = values and fewest > 1  # the variation between scenes is not known from one scene
        spans[name] = np.percentile(values, INTERVAL).tolist() if is_known else [math.nan, math.nan]
    return spans
