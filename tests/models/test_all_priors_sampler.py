import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import PseudoSampler
from mmengine.structures import InstanceData

from oil_storage.models import AllPriorsSampler


def test_it_returns_the_same_as_the_sampler_of_mmdet() -> None:
    torch.manual_seed(0)
    boxes = torch.rand(3, 4)
    priors = torch.rand(500, 4)
    indices = torch.randint(-1, 4, (500,))
    assigned = AssignResult(3, indices, torch.rand(500), labels=torch.zeros(500, dtype=torch.long))
    arguments = assigned, InstanceData(priors=priors), InstanceData(bboxes=boxes, labels=torch.zeros(3))
    ours, theirs = AllPriorsSampler().sample(*arguments), PseudoSampler().sample(*arguments)
    for name in ("pos_inds", "neg_inds", "pos_gt_bboxes", "pos_assigned_gt_inds", "avg_factor"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
