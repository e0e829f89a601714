"""Box voting: a detection's box is the mean of all that the detector said of the same object.

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
"""Boxes that are compared with all at a time: thousands with thousands would take a gibibyte."""


def voted(boxes: Tensor, scores: Tensor, least_iou: float | None) -> Tensor:
    """Replace each box by the mean of those that agree with it, itself among them, weighted by their scores.

    It goes before NMS, which then chooses by the same scores as without. Boxes are those of one class.

    Args:
        boxes: ``(N, 4)`` xyxy, in any unit.
        scores: ``(N,)``, above 0.
        least_iou: from which IoU on two boxes agree, in (0, 1); None leaves boxes as they are.

    Returns:
        ``(N, 4)``.
    """
    if least_iou is None or not len(boxes):
        return boxes
    means = []
    for some in torch.split(boxes, ROWS):
        weights = scores * (bbox_overlaps(some, boxes) >= least_iou)
        total = weights.sum(dim=1, keepdim=True)
        means.append(torch.where(total > 0, weights @ boxes / total, some))  # one without area agrees with none
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
