"""Recall against false alarms per ground area (free-response curve, FROC).

Precision depends on how many tanks the scenes have. The number of false alarms per area does not. It therefore predicts
better how many false alarms a search over a large area with few tanks gives.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.curves import at_threshold
from oil_storage.evaluation.matching import Matched
from oil_storage.figures import FALSE_ALARM_RATES, OperatingPoint

AREA = 100.0
"""Reference area in square kilometres."""


def ground_area(scenes: Sequence[Matched]) -> float | None:
    """Return the total ground area in square kilometres, or None if the resolution of any scene is not known."""
    areas = [
        result.width * result.height * result.gsd**2 / 1e6
        for result in (scene.result for scene in scenes)
        if result.gsd is not None
    ]
    return sum(areas) if scenes and len(areas) == len(scenes) else None


def false_alarm_rate(scenes: Sequence[Matched], threshold: float) -> float | None:
    """Return the number of false alarms per 100 square kilometres, or None if the ground area is not known."""
    area = ground_area(scenes)
    alarms = sum(int((~scene.right & (scene.scores >= threshold)).sum()) for scene in scenes)
    return None if area is None else alarms * AREA / area


def operating_points(scenes: Sequence[Matched]) -> dict[str, OperatingPoint]:
    """Find the lowest score threshold for each limit of false alarms in ``FALSE_ALARM_RATES``.

    Returns:
        dict: operating points by rate; empty if the ground area is not known. A rate is left out if even a threshold
        of 1 gives more false alarms.
    """
    area = ground_area(scenes)
    if area is None:
        return {}
    alarms = np.sort(np.concatenate([scene.scores[~scene.right] for scene in scenes]))[::-1]
    points = {}
    for rate in FALSE_ALARM_RATES:
        allowed = math.floor(rate * area / AREA)
        threshold = float(np.nextafter(alarms[allowed], np.float32(2))) if allowed < len(alarms) else 0.0
        if threshold <= 1:
            points[str(rate)] = OperatingPoint(threshold=threshold, recall=at_threshold(scenes, threshold).recall)
    return points


def free_response(scenes: Sequence[Matched]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Compute the free-response curve.

    Returns:
        tuple: false alarms per 100 square kilometres and recall, each ``(K,)``. Element i is for the i + 1 detections
        with the highest scores. None if the ground area is not known or there are no objects.
    """
    area, objects = ground_area(scenes), sum(len(scene.result.truth) for scene in scenes)
    if area is None or not objects:
        return None
    scores = np.concatenate([scene.scores for scene in scenes])
    right = np.concatenate([scene.right for scene in scenes])[np.argsort(-scores, kind="stable")]
    return np.cumsum(~right) * AREA / area, np.cumsum(right) / objects
