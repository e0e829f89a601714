import copy

import torch
from mmcv.ops import ModulatedDeformConv2dPack, RoIAlign
from mmengine.hooks import EMAHook
from torch import nn

from oil_storage.engine.channels_last import ChannelsLastHook, to_channels_last


class Runner:
    """Stand-in for mmengine's runner."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def kernels_are_channels_last(model: nn.Module) -> bool:
    kernels = [p for p in model.parameters() if p.ndim == 4]
    assert kernels
    return all(k.is_contiguous(memory_format=torch.channels_last) and not k.is_contiguous() for k in kernels)


def test_format_survives_copies_loading_and_optimiser_steps() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Conv2d(32, 16, 3))

    runner = Runner(build())
    ChannelsLastHook().before_run(runner)
    ema = EMAHook()
    ema.before_run(runner)
    assert kernels_are_channels_last(runner.model)
    assert kernels_are_channels_last(ema.ema_model.module)
    runner.model.load_state_dict(build().state_dict())
    optimiser = torch.optim.AdamW(runner.model.parameters())
    output = runner.model(torch.rand(2, 16, 8, 8))
    output.mean().backward()
    optimiser.step()
    ema._swap_ema_parameters()
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert kernels_are_channels_last(runner.model)
    assert kernels_are_channels_last(ema.ema_model.module)


def test_operators_without_channels_last_support_get_nchw() -> None:
    torch.manual_seed(0)
    convolutions = nn.Sequential(nn.Conv2d(16, 32, 3), ModulatedDeformConv2dPack(32, 16, 3), nn.Conv2d(16, 32, 3))
    nn.init.normal_(convolutions[1].conv_offset.weight, std=0.1)
    fast = copy.deepcopy(convolutions)
    to_channels_last(fast)
    image = torch.rand(2, 16, 16, 16)
    assert kernels_are_channels_last(fast[2])
    torch.testing.assert_close(fast(image), convolutions(image), rtol=1e-4, atol=1e-5)
    pool = RoIAlign(7)
    to_channels_last(pool)
    boxes = torch.tensor([[0, 1.0, 1.0, 9.0, 9.0]])
    assert torch.equal(pool(image.to(memory_format=torch.channels_last), boxes), RoIAlign(7)(image, boxes))
