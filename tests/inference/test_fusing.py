import copy
from pathlib import Path

import pytest
import torch
from mmdet.models.detectors import SingleStageDetector
from torch import nn

from oil_storage.inference.fusing import fuse
from tests.small_detectors import CONFIGS, batch, small_detector


def with_statistics(model: nn.Module) -> nn.Module:
    """Give batch norms something to do."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
            module.running_var.mul_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_detector_says_anything_else_with_its_norms_folded(path: Path) -> None:
    model, side = small_detector(path)
    with_statistics(model)
    fused = copy.deepcopy(model)
    number = fuse(fused)
    assert number > 0 or not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    inputs = model.data_preprocessor(batch((3,), side), False)
    with torch.no_grad():
        features, folded = (one.extract_feat(inputs["inputs"]) for one in (model, fused))
        torch.testing.assert_close(folded, features, rtol=1e-3, atol=1e-4)
        if isinstance(model, SingleStageDetector):
            torch.testing.assert_close(fused.bbox_head(features), model.bbox_head(features), rtol=1e-3, atol=1e-4)


def test_norms_that_share_a_convolution_get_a_copy_each() -> None:
    shared = nn.Conv2d(3, 4, 1)
    model = with_statistics(
        nn.ModuleList([nn.Sequential(shared, nn.BatchNorm2d(4)), nn.Sequential(shared, nn.BatchNorm2d(4)), shared])
    )
    pixels = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        before = [branch(pixels) for branch in model]
        assert fuse(model) == 2
        torch.testing.assert_close([branch(pixels) for branch in model], before)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
