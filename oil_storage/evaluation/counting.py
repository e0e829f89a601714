"""Errors in the number of tanks per scene, and in their positions and sizes."""

from collections.abc import Sequence

import numpy as np

from oil_storage.evaluation.matching import Matched


def count_errors(scenes: Sequence[Matched], threshold: float) -> dict[str, float]:
    """Compare the number of detections that reach ``threshold`` with the number of objects, scene by scene.

    Returns:
        dict: ``count_mae``, the mean absolute error; ``count_bias``, the mean error, positive for too many detections;
        and ``count_r2``, the coefficient of determination, nan if all scenes have the same number of objects.
    """
    predicted = np.array([(scene.scores >= threshold).sum() for scene in scenes], float)
    true = np.array([len(scene.result.truth) for scene in scenes], float)
    spread = ((true - true.mean()) ** 2).sum()
    r2 = 1 - ((predicted - true) ** 2).sum() / spread if spread else float("nan")
    error = predicted - true
    return {"count_mae": float(np.abs(error).mean()), "count_bias": float(error.mean()), "count_r2": float(r2)}


def geometry_errors(scenes: Sequence[Matched], threshold: float) -> dict[str, float]:
    """Compare the correct boxes that reach ``threshold`` with their objects. A box is correct at IoU 0.5.

    Returns:
        dict: means over all correct boxes: ``iou``; ``centre_px``, the distance between centres; ``diameter_px``, the
        absolute error of the diameter (the mean of width and height); ``diameter_bias_px``, its signed error, positive
        for boxes that are too large; ``centre_m`` and ``diameter_m``, the same in metres. A value is nan if there is no
        correct box, and a value in metres is nan if the ground sampling distance is not known.
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
