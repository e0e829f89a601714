"""How many tanks a scene has, where their centres are and how large they are: what users ask."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oil_storage.evaluation.matching import Matched


@dataclass(frozen=True)
class Counts:
    """Errors of the number of detections a scene.

    Attributes:
        mae: mean absolute error, tanks.
        bias: mean error, tanks; positive where there are too many.
        r2: share of the variance of the true numbers that the found ones explain; nan where all are equal.
    """

    mae: float
    bias: float
    r2: float


def count_errors(scenes: Sequence[Matched], threshold: float) -> Counts:
    """Compare the numbers of detections that reach ``threshold`` with those of the objects, scene by scene."""
    found = np.array([(one.scores >= threshold).sum() for one in scenes], float)
    true = np.array([len(one.result.truth) for one in scenes], float)
    spread = ((true - true.mean()) ** 2).sum()
    r2 = 1 - ((found - true) ** 2).sum() / spread if spread else float("nan")
    return Counts(float(np.abs(found - true).mean()), float((found - true).mean()), float(r2))


@dataclass(frozen=True)
class Geometry:
    """Errors of the detections that are right at IoU 0.5; nan where none is, or where metres are not known.

    Attributes:
        iou: mean IoU.
        centre_px: mean distance of the centres, pixels.
        diameter_px: mean absolute error of the diameter (the mean of both sides), pixels.
        diameter_bias_px: mean error of the diameter, pixels; positive where boxes are too large.
        centre_m: as ``centre_px``, metres.
        diameter_m: as ``diameter_px``, metres.
    """

    iou: float
    centre_px: float
    diameter_px: float
    diameter_bias_px: float
    centre_m: float
    diameter_m: float


def geometry_errors(scenes: Sequence[Matched], threshold: float) -> Geometry:
    """Compare the boxes that reach ``threshold`` with those of their objects."""
    ious, distances, growths, metres = ([np.zeros(0)] for _ in range(4))
    for one in scenes:
        right = np.flatnonzero(one.right & (one.scores >= threshold))
        objects = one.at[0][right]
        error = one.boxes[right].astype(float) - one.result.truth[objects]
        ious.append(one.ious[right, objects])
        distances.append(np.hypot(*((error[:, :2] + error[:, 2:]) / 2).T))
        growths.append((error[:, 2:] - error[:, :2]).mean(axis=1))
        metres.append(np.full(len(right), one.result.gsd or np.nan))
    iou, distance, growth, gsd = (np.concatenate(parts) for parts in (ious, distances, growths, metres))
    if not len(iou):
        return Geometry(*[float("nan")] * 6)
    size = np.abs(growth)
    return Geometry(*(float(each.mean()) for each in (iou, distance, size, growth, distance * gsd, size * gsd)))
