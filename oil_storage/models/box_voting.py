"""Box voting: a box becomes the mean of all boxes that the detector gives to the same object.

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
"""Boxes that are compared with all others at a time, to save memory."""


def voted(boxes: Tensor, scores: Tensor, least_iou: float | None) -> Tensor:
    """Replace each box by the mean, weighted by scores, of the boxes that agree with it, itself included.

    NMS follows and chooses by the scores, which do not change.

    Args:
        boxes: ``(N, 4)`` xyxy of one class.
        scores: ``(N,)``, above 0.
        least_iou: IoU from which two boxes agree, in (0, 1); None returns the boxes unchanged.

    Returns:
        ``(N, 4)``.
    """
    if least_iou is None or not len(boxes):
        return boxes
    means = []
    for part in torch.split(boxes, ROWS):
        weights = scores * (bbox_overlaps(part, boxes) >= least_iou)
        total = weights.sum(dim=1, keepdim=True)
        means.append(torch.where(total > 0, weights @ boxes / total, part))  # a box without area agrees with none
    return torch.cat(means)


@MODELS.register_module()
class VotingRetinaSepBNHead(RetinaSepBNHead):
    """RetinaSepBNHead as in mmdet, whose boxes vote before NMS where ``test_cfg`` has a ``vote_iou``."""

    def _bbox_post_process(self, results: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        results.bboxes = voted(results.bboxes, results.scores, cfg.get("vote_iou"))
        return super()._bbox_post_process(results, cfg, *args, **kwargs)


@MODELS.register_module()
class VotingTTAModel(DetTTAModel):
    """DetTTAModel as in mmdet, in which the boxes of all views vote where ``tta_cfg`` has a ``vote_iou``."""

    def merge_aug_bboxes(self, *args: Any) -> tuple[Tensor, Tensor]:
        """See mmdet."""
        boxes, scores = super().merge_aug_bboxes(*args)
        return voted(boxes, scores, self.tta_cfg.get("vote_iou")), scores
