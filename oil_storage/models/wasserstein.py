"""Normalised Gaussian Wasserstein distance, which tiny boxes have where their IoU is 0.

Source: J. Wang, C. Xu, W. Yang and L. Yu, A normalized Gaussian Wasserstein distance for tiny object detection,
arXiv:2110.13389, 2021, section 3.
"""

from typing import Any

import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor
from torch import Tensor


@TASK_UTILS.register_module()
class NormalisedWasserstein:
    """Likeness of boxes, in place of an assigner's ``BboxOverlaps2D``: 1 for equal ones, towards 0 far apart.

    A box is taken for a Gaussian of its centre and half its sides; the likeness is ``exp(-distance / constant)``.

    Args:
        constant: pixels, of the order of an object's side.
    """

    def __init__(self, constant: float) -> None:
        self.constant = constant

    def __call__(self, boxes: Any, others: Any, **_: Any) -> Tensor:
        """Likeness of ``(N, 4)`` and ``(M, 4)`` boxes, xyxy pixels: ``(N, M)``."""
        return torch.exp(-torch.cdist(_gaussian(boxes), _gaussian(others)) / self.constant)


def _gaussian(boxes: Tensor | HorizontalBoxes) -> Tensor:
    corners = get_box_tensor(boxes)
    first, second = corners[:, :2], corners[:, 2:4]
    return torch.cat([(first + second) / 2, (second - first) / 2], dim=1)
