"""COCO average precision with limits that hold on dense images.

pycocotools' summary looks at 100 detections an image, whatever ``maxDets`` says, so perfect predictions on 300 tanks
score 0.34. Here every detection up to :data:`MAX_DETECTIONS` an image counts.
"""

import contextlib
import io
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger

MAX_DETECTIONS = 2000
"""Detections per image that count, best scores first."""

LARGEST = 1e30
"""Square pixels, in place of infinity: a detection of another size would not count as wrong."""

SHOWN = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l", "AR")
"""What a line of the log says; all figures are in its file."""

AREAS = {"s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, math.inf)}
"""COCO's size bins: box area in square pixels."""

SIDES = (8, 16, 32, 64)
"""Limits of our own size bins: square root of the box area in pixels. Half of the tanks are under 18 px."""

BINS = {
    name: (lower**2, upper**2)
    for name, lower, upper in zip(
        ("under_8", "8_16", "16_32", "32_64", "from_64"), (0.0, *SIDES), (*SIDES, math.inf), strict=True
    )
}


def score(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    image_ids: Sequence[int] | None = None,
    most: int = MAX_DETECTIONS,
) -> dict[str, float]:
    """Score detections by COCO's rules, but for the number of detections that count.

    Args:
        truth: COCO json: ``images``, ``annotations`` and ``categories``.
        detections: COCO results: ``image_id``, ``category_id``, ``bbox`` (xywh, pixels) and ``score`` each.
        image_ids: images that count; None takes all.
        most: detections of an image that count, best scores first.

    Returns:
        dict: ``mAP`` (IoU 0.50:0.95), ``mAP_50``, ``mAP_75``, ``mAP_s``, ``mAP_m``, ``mAP_l``, one of each of our own
        bins from ``mAP_under_8`` to ``mAP_from_64``, and ``AR`` (largest recall, mean over IoU), each in [0, 1], or nan
        where the ground truth has no box of that size.
    """
    areas = {"all": (0.0, math.inf), **AREAS, **BINS}
    # of equal scores by place, so that no figure depends on the order given
    ordered = sorted(detections, key=lambda one: (one["image_id"], -one["score"], one["bbox"]))
    known = _indexed(truth, truth["annotations"])
    found = known.loadRes([dict(one) for one in ordered]) if ordered else _indexed(truth, [])
    evaluation = COCOeval_faster(known, found, "bbox", print_function=_print_nothing)
    evaluation.params.maxDets = [most]
    evaluation.params.areaRng = [[lower, min(upper, LARGEST)] for lower, upper in areas.values()]
    evaluation.params.areaRngLbl = list(areas)
    if image_ids is not None:
        evaluation.params.imgIds = list(image_ids)
    evaluation.evaluate()
    evaluation.accumulate()
    # (IoU thresholds, recall thresholds, classes, areas, detection limits); -1 marks bins without ground truth
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
"""Tile set for which the AP of YOLOX-s on these scenes was published."""


def published_score(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Score tiles by the rules under which the AP of YOLOX-s on these scenes was published, to compare with it.

    Boxes with a side under 5 px or an aspect over 2.5 are left out of the ground truth, so that a detection of one
    counts as wrong; 100 detections a tile count.

    Source: J. Audi, deeplearning.earth, 2022-06-15.

    Args:
        truth: see :func:`score`.
        detections: see :func:`score`.
    """
    kept = []
    for annotation in truth["annotations"]:
        shorter, longer = sorted(annotation["bbox"][2:])
        if shorter >= 5.0 and longer <= 2.5 * shorter:
            kept.append(annotation)
    return score({**truth, "annotations": kept}, detections, most=100)


def _indexed(dataset: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {**dataset, "annotations": [dict(one) for one in annotations]}  # evaluation writes into them
    coco.createIndex()
    return coco


def _print_nothing(*_: Any, **__: Any) -> None:
    """In place of what the evaluation would print."""


def _mean(values: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else float("nan")


@METRICS.register_module()
class DenseCocoMetric(CocoMetric):
    """mmdet's CocoMetric, scored by :func:`score`; keys are ``coco/bbox_mAP``, ``coco/bbox_mAP_50`` and so on.

    The ground truth is the COCO json that the scored data set names in its ``metainfo["ground_truth"]``.

    Args:
        **kwargs: of :class:`mmdet.evaluation.CocoMetric`.
    """

    @property
    def dataset_meta(self) -> Any:
        """``metainfo`` of the data set that is scored."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, metainfo: dict[str, Any]) -> None:
        self._dataset_meta = metainfo
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            self._coco_api = COCO(metainfo["ground_truth"]["tiles"], print_function=_print_nothing)

    def compute_metrics(self, results: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float]:
        """Score the predictions of all ranks.

        Args:
            results: a pair of ground truth and prediction for each image; ``bboxes`` are ``(N, 4)`` xyxy pixels.

        Returns:
            dict: the figures of :func:`score`, their names prefixed with ``bbox_``.
        """
        category = self._coco_api.getCatIds(catNms=self.dataset_meta["classes"])
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
        figures = score(self._coco_api.dataset, detections, [one["img_id"] for _, one in results])
        MMLogger.get_current_instance().info(
            "  ".join(f"{name} {figures[name]:.3f}" for name in SHOWN) + f"  ({len(results)} tiles)"
        )
        return OrderedDict((f"bbox_{name}", value) for name, value in figures.items())
