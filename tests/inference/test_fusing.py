import copy
from pathlib import Path

import pytest
import torch
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
    for before, after in zip(features, folded, strict=True):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


def test_a_convolution_that_norms_share_stays() -> None:
    shared = nn.Conv2d(3, 4, 1)
    model = with_statistics(
        nn.ModuleList([nn.Sequential(shared, nn.BatchNorm2d(4)), nn.Sequential(shared, nn.BatchNorm2d(4))])
    )
    assert fuse(model) == 0
    assert fuse(with_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))) == 1
