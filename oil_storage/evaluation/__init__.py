"""Metrics of tiles and scenes. Importing this package registers them with mmdet."""

from oil_storage.evaluation.dense_coco import DenseCocoMetric
from oil_storage.evaluation.scene_metric import SceneMetric

__all__ = ["DenseCocoMetric", "SceneMetric"]
