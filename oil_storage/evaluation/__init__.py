"""Metrics of tiles and scenes; importing this package registers them with mmdet."""

from oil_storage.evaluation.dense_coco import DenseCocoMetric
from oil_storage.evaluation.scene_metric import SceneMetric

__all__ = ["DenseCocoMetric", "SceneMetric"]
