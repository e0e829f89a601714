"""Scores; importing this registers the metric."""

from oil_storage.evaluation.dense_coco import DenseCocoMetric

__all__ = ["DenseCocoMetric"]
