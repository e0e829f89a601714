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
    """Errors of the detections that are right at IoU 0.5, in pixels; nan where none is.

    Attributes:
        centre: mean distance of the centres.
        diameter: mean absolute error of the diameter, the mean of both sides.
        diameter_bias: mean error of the diameter; positive where boxes are too large.
        iou: mean IoU.
    """

    centre: float
    diameter: float
    diameter_bias: float
    iou: float


def geometry_errors(scenes: Sequence[Matched], threshold: float) -> Geometry:
    """Compare the boxes that reach ``threshold`` with those of their objects."""
    centres, diameters, ious = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for one in scenes:
        right = np.flatnonzero(one.right & (one.scores >= threshold))
        objects = one.at[0][right]
        found, true = one.boxes[right].astype(float), one.result.truth[objects].astype(float)
        shift = (found[:, :2] + found[:, 2:] - true[:, :2] - true[:, 2:]) / 2
        centres.append(np.hypot(*shift.T))
        diameters.append(((found - true)[:, 2:] - (found - true)[:, :2]).mean(axis=1))
        ious.append(one.ious[right, objects])
    distance, growth, iou = (np.concatenate(parts) for parts in (centres, diameters, ious))
    if not len(distance):
        return Geometry(*[float("nan")] * 4)
    return Geometry(float(distance.mean()), float(np.abs(growth).mean()), float(growth.mean()), float(iou.mean()))
