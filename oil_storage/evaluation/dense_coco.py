"""COCO average precision for images with hundreds of objects.

The summary of pycocotools counts at most 100 detections per image, even if ``maxDets`` is larger. Perfect detections
of 300 tanks in an image therefore score only 0.34. Here, up to :data:`MAX_DETECTIONS` detections per image count.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from oil_storage.merging import Detections

MAX_DETECTIONS = 2000
"""Maximum number of detections that count in each image. Those with the highest scores count."""

LARGEST = 1e30
"""Upper limit of the box area in square pixels. No box is larger, so no false positive is ignored for its size."""

AREAS = {"s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, math.inf)}
"""COCO's size bins: lower and upper limit of the box area in square pixels."""

SIDES = (8, 16, 32, 64)
"""Limits between the additional size bins: square root of the box area in pixels. Half of the tanks are under 18 px."""

BINS = {
    name: (lower**2, upper**2)
    for name, lower, upper in zip(
        ("under_8", "8_16", "16_32", "32_64", "from_64"), (0.0, *SIDES), (*SIDES, math.inf), strict=True
    )
}

NAMES = ("mAP", "mAP_50", "mAP_75", *(f"mAP_{name}" for name in (*AREAS, *BINS)), "AR")
"""Keys of :func:`score`."""


def score(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    image_ids: Sequence[int] | None = None,
    most: int = MAX_DETECTIONS,
) -> dict[str, float]:
    """Compute COCO's metrics with a chosen limit on the number of detections per image.

    Args:
        truth: COCO JSON with ``images``, ``annotations`` and ``categories``.
        detections: COCO results, each with ``image_id``, ``category_id``, ``bbox`` (xywh, pixels) and ``score``.
        image_ids: images to score; None scores all images.
        most: maximum number of detections that count in each image. Those with the highest scores count.

    Returns:
        dict: ``mAP`` (IoU 0.50:0.95), ``mAP_50``, ``mAP_75``, COCO's size bins ``mAP_s``, ``mAP_m`` and ``mAP_l``, the
        additional bins from ``mAP_under_8`` to ``mAP_from_64``, and ``AR`` (maximum recall, averaged over IoU). Values
        are in [0, 1]. A value is nan if the ground truth has no box of that size.
    """
    areas = {"all": (0.0, math.inf), **AREAS, **BINS}
    # equal scores are sorted by position, so that the result does not depend on the order of the input
    ordered = sorted(detections, key=lambda result: (result["image_id"], -result["score"], result["bbox"]))
    ground_truth = _indexed(truth, truth["annotations"])
    results = ground_truth.loadRes([dict(result) for result in ordered]) if ordered else _indexed(truth, [])
    evaluation = COCOeval_faster(ground_truth, results, "bbox", print_function=_print_nothing)
    evaluation.params.maxDets = [most]
    evaluation.params.areaRng = [[lower, min(upper, LARGEST)] for lower, upper in areas.values()]
    evaluation.params.areaRngLbl = list(areas)
    if image_ids is not None:
        evaluation.params.imgIds = list(image_ids)
    evaluation.evaluate()
    evaluation.accumulate()
    # shape: (IoU thresholds, recall thresholds, classes, areas, detection limits); -1 marks bins without ground truth
    precision = evaluation.eval["precision"][..., 0]
    recall = evaluation.eval["recall"][..., 0]
    by_area = dict(zip(areas, np.moveaxis(precision, -1, 0), strict=True))
    return {
        "mAP": _mean(by_area["all"]),
        "mAP_50": _mean(by_area["all"][0]),
        "mAP_75": _mean(by_area["all"][5]),
        **{f"mAP_{name}": _mean(by_area[name]) for name in (*AREAS, *BINS)},
        "AR": _mean(recall[..., 0]),
    }


PUBLISHED_TILES = "640_64"
"""Tile size and overlap that the published YOLOX-s used, in pixels; see :func:`published_score`."""


def published_score(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Score tiles by the rules of a published YOLOX-s on the Airbus scenes, to compare with its AP.

    Boxes with a side under 5 px or an aspect ratio over 2.5 are removed from the ground truth. Detections of these
    boxes count as false positives. Only the 100 highest-scoring detections of a tile count.

    Source: J. Audi, deeplearning.earth, 2022-06-15.

    Args:
        truth: see :func:`score`.
        detections: see :func:`score`.
    """
    sides = [sorted(annotation["bbox"][2:]) for annotation in truth["annotations"]]
    is_scored = [shorter >= 5.0 and longer <= 2.5 * shorter for shorter, longer in sides]
    return score({**truth, "annotations": [*compress(truth["annotations"], is_scored)]}, detections, most=100)


def results_of(image_id: int, detections: Detections) -> list[dict[str, Any]]:
    """Convert the detections of one image to COCO results."""
    return [
        {"image_id": image_id, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": value}
        for (x1, y1, x2, y2), value in zip(detections.boxes.tolist(), detections.scores.tolist(), strict=True)
    ]


def _indexed(dataset: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {**dataset, "annotations": [dict(annotation) for annotation in annotations]}  # modified in place
    coco.createIndex()
    return coco


def _print_nothing(*_: Any, **__: Any) -> None:
    """Discard the output of the evaluation."""


def _mean(values: NDArray[np.float64]) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else float("nan")
