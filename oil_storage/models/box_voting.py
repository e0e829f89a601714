"""Box voting: replace each box by the mean of the boxes around the same object.

Source: S. Gidaris and N. Komodakis, Object detection via a multi-region and semantic segmentation-aware CNN model,
ICCV 2015, section 5.
"""

from typing import Any

import torch
from mmdet.models.dense_heads import RetinaSepBNHead
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

ROWS = 512
"""Number of rows of the IoU matrix ``(ROWS, N)`` that is computed at once. Fewer rows need less memory."""


def voted(boxes: Tensor, scores: Tensor, least_iou: float | None) -> Tensor:
    """Replace each box by the score-weighted mean of the boxes that overlap it, including itself.

    The scores do not change; NMS uses them afterwards.

    Args:
        boxes: boxes of one class, ``(N, 4)`` xyxy.
        scores: positive scores, ``(N,)``.
        least_iou: minimum IoU of boxes that are averaged, in (0, 1); None returns the boxes unchanged.

    Returns:
        Tensor: ``(N, 4)`` xyxy.
    """
    if least_iou is None or not len(boxes):
        return boxes
    means = []
    for part in torch.split(boxes, ROWS):
        weights = scores * (bbox_overlaps(part, boxes) >= least_iou)
        total = weights.sum(dim=1, keepdim=True)
        means.append(torch.where(total > 0, weights @ boxes / total, part))  # a box without area overlaps no box
    return torch.cat(means)


@MODELS.register_module()
class VotingRetinaSepBNHead(RetinaSepBNHead):
    """RetinaSepBNHead with box voting before NMS if ``test_cfg`` contains ``vote_iou``."""

    def _bbox_post_process(self, results: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        results.bboxes = voted(results.bboxes, results.scores, cfg.get("vote_iou"))
        return super()._bbox_post_process(results, cfg, *args, **kwargs)


@MODELS.register_module()
class VotingTTAModel(DetTTAModel):
    """DetTTAModel with box voting over all views if ``tta_cfg`` contains ``vote_iou``."""

    def merge_aug_bboxes(self, *args: Any) -> tuple[Tensor, Tensor]:
        """Merge the boxes of all views, then apply box voting."""
        boxes, scores = super().merge_aug_bboxes(*args)
        return voted(boxes, scores, self.tta_cfg.get("vote_iou")), scores
