"""Confidence intervals of metrics by the bootstrap over scenes."""

import math
from collections.abc import Callable, Sequence
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.curves import AveragePrecision
from oil_storage.evaluation.matching import Matched

RESAMPLED = 1000
"""Number of bootstrap samples."""
INTERVAL = (2.5, 97.5)
"""Percentiles at the two ends of an interval."""
SEED = 0

Figures = dict[str, float]
Scored = tuple[Sequence[Matched], float]
"""Scenes of a run, and the score threshold for F1."""


def resampled(scenes: Sequence[Matched], threshold: float) -> Callable[[NDArray[np.int64]], Figures]:
    """Return a function that computes ``ap``, ``ap50`` and ``f1`` of weighted scenes.

    The argument of this function, ``(S,)``, is the number of times that each of the S scenes counts.
    """
    average_precision = AveragePrecision(scenes)
    counting = [scene.scores >= threshold for scene in scenes]
    right = np.array([(scene.right & counts).sum() for scene, counts in zip(scenes, counting, strict=True)])
    claimed = np.array([counts.sum() + len(scene.result.truth) for scene, counts in zip(scenes, counting, strict=True)])

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
    """Draw bootstrap samples of S scenes. Return how often each sample contains each scene, ``(1000, S)``."""
    rng = np.random.default_rng(seed)
    drawn: NDArray[np.int64] = rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=RESAMPLED)
    return drawn


def intervals(runs: Sequence[Scored]) -> dict[str, list[float]]:
    """Compute 95 % intervals of the mean ``ap``, ``ap50`` and ``f1`` of runs by the percentile bootstrap.

    Runs on the same scenes (several seeds) share their bootstrap samples. Runs on different scenes (folds) are sampled
    independently.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        runs: one or more runs of one detector.

    Returns:
        dict: lower and upper end of each interval; nan if there are no objects or only one scene.
    """
    return _spans(_drawn(runs), runs)


def differences(first: Sequence[Scored], second: Sequence[Scored]) -> dict[str, list[float]]:
    """Compute 95 % intervals of the difference (second minus first) between two detectors on the same scenes.

    Both detectors use the same bootstrap samples (paired bootstrap), so the difficulty of the scenes cancels out.

    Raises:
        ValueError: the detectors were not tested on the same scenes.
    """
    if {_names(run) for run in first} != {_names(run) for run in second}:
        raise ValueError("the detectors were not tested on the same scenes")
    pairs = zip(_drawn(first), _drawn(second), strict=True)
    return _spans([{name: after[name] - before[name] for name in before} for before, after in pairs], first)


def _names(run: Scored) -> tuple[str, ...]:
    return tuple(scene.result.scene_id for scene in run[0])


def _drawn(runs: Sequence[Scored]) -> list[Figures]:
    """Compute the mean figures of the runs for each bootstrap sample."""
    sets = sorted({_names(run) for run in runs})
    weights = {names: draws(len(names), SEED + index) for index, names in enumerate(sets)}
    figures = []
    for run in runs:
        figures_of = resampled(*run)
        figures.append([figures_of(each) for each in weights[_names(run)]])
    return [{name: mean(run[name] for run in sample) for name in sample[0]} for sample in zip(*figures, strict=True)]


def _spans(drawn: Sequence[Figures], runs: Sequence[Scored]) -> dict[str, list[float]]:
    fewest = min(len(scenes) for scenes, _ in runs)
    spans = {}
    for name in drawn[0]:
        values = [sample[name] for sample in drawn if not math.isnan(sample[name])]  # nan in samples without objects
        is_known = values and fewest > 1  # the variation between scenes is not known from one scene
        spans[name] = np.percentile(values, INTERVAL).tolist() if is_known else [math.nan, math.nan]
    return spans
