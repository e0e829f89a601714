"""Errors in the number of tanks per scene, and in their positions and sizes."""

from collections.abc import Sequence

import numpy as np

from oil_storage.evaluation.matching import Matched


def count_errors(scenes: Sequence[Matched], threshold: float) -> dict[str, float]:
    """Compare the numbers of detections and objects per scene. Detections with scores below ``threshold`` are ignored.

    Returns:
        dict: ``count_mae`` is the mean absolute error. ``count_bias`` is the mean error, positive for too many
        detections. ``count_r2`` is the coefficient of determination, or nan if the number of objects does not vary.
    """
    predicted = np.array([(scene.scores >= threshold).sum() for scene in scenes], float)
    true = np.array([len(scene.result.truth) for scene in scenes], float)
    spread = ((true - true.mean()) ** 2).sum()
    r2 = 1 - ((predicted - true) ** 2).sum() / spread if spread else float("nan")
    error = predicted - true
    return {"count_mae": float(np.abs(error).mean()), "count_bias": float(error.mean()), "count_r2": float(r2)}


def geometry_errors(scenes: Sequence[Matched], threshold: float) -> dict[str, float]:
    """Compute the mean position and size errors of correct boxes. Boxes with scores below ``threshold`` are ignored.

    A box is correct if its IoU with its object is at least 0.5. The diameter is the mean of width and height.

    Returns:
        dict: ``iou`` is the mean IoU. ``centre_px`` is the mean distance between centres. ``diameter_px`` is the mean
        absolute error of the diameter. ``diameter_bias_px`` is its mean error, positive for boxes that are too large.
        ``centre_m`` and ``diameter_m`` are the same errors in metres, or nan if the ground resolution is not known.
        All values are nan if no box is correct.
    """
    columns = [np.zeros((6, 0))]
    for scene in scenes:
        right = np.flatnonzero(scene.right & (scene.scores >= threshold))
        objects = scene.at[0][right]
        error = scene.boxes[right].astype(float) - scene.result.truth[objects]
        distance = np.hypot(*((error[:, :2] + error[:, 2:]) / 2).T)
        growth = (error[:, 2:] - error[:, :2]).mean(axis=1)
        size, gsd = np.abs(growth), scene.result.gsd or np.nan
        columns.append(np.stack([scene.ious[right, objects], distance, size, growth, distance * gsd, size * gsd]))
    table = np.concatenate(columns, axis=1)
    means = table.mean(axis=1) if table.size else np.full(6, np.nan)
    names = ("iou", "centre_px", "diameter_px", "diameter_bias_px", "centre_m", "diameter_m")
    return dict(zip(names, means.tolist(), strict=True))
