"""COCO average precision with limits that hold on dense images.

pycocotools' summary looks at 100 detections an image, whatever ``maxDets`` says, so perfect predictions on 300 tanks
score 0.34. Here every detection up to :data:`MAX_DETECTIONS` an image counts.
"""

import contextlib
import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

MAX_DETECTIONS = 2000
"""Detections per image that count, best scores first."""

AREAS = {"all": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
"""COCO's size bins: box area in square pixels."""


def score(
    ground_truth: COCO, detections: Sequence[dict[str, Any]], image_ids: Sequence[int] | None = None
) -> dict[str, float]:
    """Score detections by COCO's rules over all detections up to :data:`MAX_DETECTIONS` an image.

    Args:
        ground_truth: COCO annotations.
        detections: COCO results: ``image_id``, ``category_id``, ``bbox`` (xywh, pixels) and ``score`` each.
        image_ids: images that count; None takes all.

    Returns:
        dict: ``mAP`` (IoU 0.50:0.95), ``mAP_50``, ``mAP_75``, ``mAP_s``, ``mAP_m``, ``mAP_l`` and ``AR`` (largest
        recall, mean over IoU), each in [0, 1], or nan where the ground truth has no box of that size.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(ground_truth, _results(ground_truth, detections), "bbox")
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng = [list(limits) for limits in AREAS.values()]
        evaluation.params.areaRngLbl = list(AREAS)
        if image_ids is not None:
            evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU thresholds, recall thresholds, classes, areas, detection limits); -1 marks bins without ground truth
    precision = evaluation.eval["precision"][..., 0]
    recall = evaluation.eval["recall"][..., 0]
    by_area = dict(zip(AREAS, np.moveaxis(precision, -1, 0), strict=True))
    return {
        "mAP": _mean(by_area["all"]),
        "mAP_50": _mean(by_area["all"][0]),
        "mAP_75": _mean(by_area["all"][5]),
        "mAP_s": _mean(by_area["s"]),
        "mAP_m": _mean(by_area["m"]),
        "mAP_l": _mean(by_area["l"]),
        "AR": _mean(recall[..., 0]),
    }


def _results(ground_truth: COCO, detections: Sequence[dict[str, Any]]) -> COCO:
    if detections:
        return ground_truth.loadRes(list(detections))
    # loadRes fails on an empty list, but finding nothing is a result: recall and precision 0
    empty = COCO()
    empty.dataset = {**ground_truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _mean(values: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else float("nan")


@METRICS.register_module()
class DenseCocoMetric(CocoMetric):
    """mmdet's CocoMetric, scored by :func:`score`; keys are ``coco/bbox_mAP``, ``coco/bbox_mAP_50`` and so on.

    Args:
        ann_file: COCO json of the tiles that are scored.
        **kwargs: of :class:`mmdet.evaluation.CocoMetric`.
    """

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            super().__init__(ann_file=ann_file, metric="bbox", **kwargs)

    def compute_metrics(self, results: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float]:
        """Score the predictions of all ranks.

        Args:
            results: a pair of ground truth and prediction for each image; ``bboxes`` are ``(N, 4)`` xyxy pixels.

        Returns:
            dict: the figures of :func:`score`, their names prefixed with ``bbox_``.
        """
        category = self._coco_api.get_cat_ids(cat_names=self.dataset_meta["classes"])
        detections = [
            {
                "image_id": one["img_id"],
                "category_id": category[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(value),
            }
            for _, one in results
            for (x1, y1, x2, y2), label, value in zip(one["bboxes"].tolist(), one["labels"], one["scores"], strict=True)
        ]
        figures = score(self._coco_api, detections, [one["img_id"] for _, one in results])
        MMLogger.get_current_instance().info(
            "  ".join(f"{name} {value:.3f}" for name, value in figures.items()) + f"  ({len(results)} tiles)"
        )
        return OrderedDict((f"bbox_{name}", value) for name, value in figures.items())
