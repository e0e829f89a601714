"""Score tiles during training and testing, with the same functions as scenes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from numpy.typing import NDArray

from oil_storage.coco import CocoFile
from oil_storage.evaluation.dense_coco import results_of, score
from oil_storage.merging import Detections

SHOWN = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l", "AR")
"""Metrics in the log line of a validation. The log file contains all metrics."""


@METRICS.register_module()
class DenseCocoMetric(BaseMetric):
    """COCO's metrics of tiles; see :func:`oil_storage.evaluation.dense_coco.score`.

    The keys are ``coco/bbox_mAP``, ``coco/bbox_mAP_50`` and so on.

    ``metainfo["ground_truth"]["tiles"]`` of the data set is the path of the ground truth, a COCO JSON file.
    """

    default_prefix = "coco"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Store the detections of a batch of tiles."""
        for sample in data_samples:
            boxes, scores = (sample["pred_instances"][key].float().cpu().numpy() for key in ("bboxes", "scores"))
            self.results.append((sample["img_id"], boxes, scores))

    def compute_metrics(self, results: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, float]:
        """Score the tiles; see :func:`score`.

        Args:
            results: image id, boxes and scores of each tile, from all processes.
        """
        truth = CocoFile.load(Path(self.dataset_meta["ground_truth"]["tiles"])).to_dict()
        detections = [
            detection for image_id, *found in results for detection in results_of(image_id, Detections(*found))
        ]
        figures = score(truth, detections, [image_id for image_id, *_ in results])
        MMLogger.get_current_instance().info(
            "  ".join(f"{name} {figures[name]:.3f}" for name in SHOWN) + f"  ({len(results)} tiles)"
        )
        return {f"bbox_{name}": value for name, value in figures.items()}
