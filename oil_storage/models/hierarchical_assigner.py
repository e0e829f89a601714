"""RFLA's assignment of anchors by rank, in which the smallest object gets as many as the largest.

Source: C. Xu, J. Wang, W. Yang, H. Yu, L. Yu and G. Xia, RFLA: Gaussian receptive field based label assignment for tiny
object detection, arXiv:2208.08738, 2022, sections 3.2 and 3.3.
"""

from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor


@TASK_UTILS.register_module()
class HierarchicalAssigner(BaseAssigner):
    """Assigns to each object the anchors that rank best, then the best of smaller ones where none is assigned yet.

    Anchors and objects are taken for Gaussians of their centre and half their sides; they rank by the
    Kullback-Leibler divergence of the object from the anchor. What is not assigned is background.

    Args:
        top: anchors for each object, at first and in addition.
        decay: by which the sides of anchors shrink for the second choice.
    """

    def __init__(self, top: tuple[int, int], decay: float) -> None:
        self.top, self.decay = top, decay

    def assign(self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **_: Any) -> AssignResult:
        """See mmdet: priors ``(N, 4)``, boxes ``(K, 4)``, xyxy pixels."""
        priors, boxes = get_box_tensor(pred_instances.priors), get_box_tensor(gt_instances.bboxes)
        assigned = priors.new_zeros(len(priors), dtype=torch.long)
        likeness = priors.new_zeros(len(priors))
        if len(boxes):
            for scale, top in zip((1.0, self.decay), self.top, strict=True):
                divergence = _divergence(boxes, priors, scale)
                rows = divergence.topk(top, dim=1, largest=False).indices
                mask = torch.full_like(divergence, torch.inf).scatter(1, rows, divergence.gather(1, rows))
                best, owner = mask.min(dim=0)
                free = (assigned == 0) & best.isfinite()
                assigned[free] = owner[free] + 1
                likeness[free] = 1 / (1 + best[free])
        labels = torch.where(assigned > 0, gt_instances.labels.new_zeros(()), -1)
        return AssignResult(num_gts=len(boxes), gt_inds=assigned, max_overlaps=likeness, labels=labels)


def _divergence(boxes: Tensor, priors: Tensor, scale: float) -> Tensor:
    """Kullback-Leibler divergence of objects ``(K, 4)`` from anchors ``(N, 4)``: ``(K, N)``."""
    result = boxes.new_zeros(len(boxes), len(priors))
    for low, high in ((0, 2), (1, 3)):
        centre, side = (boxes[:, low] + boxes[:, high]) / 2, boxes[:, high] - boxes[:, low]
        other, others = (priors[:, low] + priors[:, high]) / 2, (priors[:, high] - priors[:, low]) * scale
        ratio = (side[:, None] / others[None]) ** 2
        result += 0.5 * (ratio + ((centre[:, None] - other[None]) / (others[None] / 2)) ** 2 - ratio.log() - 1)
    return result
