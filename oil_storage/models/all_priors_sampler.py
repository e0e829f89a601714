"""Sampler that keeps all priors, as single-stage detectors need."""

from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import PseudoSampler, SamplingResult
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData


@TASK_UTILS.register_module()
class AllPriorsSampler(PseudoSampler):
    """PseudoSampler that does not sort the indices, which are sorted and unique already. It is five times as fast."""

    def sample(
        self, assign_result: AssignResult, pred_instances: InstanceData, gt_instances: InstanceData, *_: Any, **__: Any
    ) -> SamplingResult:
        """Return all positive and negative priors."""
        priors = pred_instances.priors
        return SamplingResult(
            pos_inds=torch.nonzero(assign_result.gt_inds > 0).squeeze(-1),
            neg_inds=torch.nonzero(assign_result.gt_inds == 0).squeeze(-1),
            priors=priors,
            gt_bboxes=gt_instances.bboxes,
            assign_result=assign_result,
            gt_flags=priors.new_zeros(len(priors), dtype=torch.uint8),
            avg_factor_with_neg=False,
        )
