import torch
from mmengine.hooks import EMAHook
from torch import nn

from oil_storage.engine.channels_last import ChannelsLastHook


class Runner:
    """The little of mmengine's runner that the hooks look at."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def kernels_are_channels_last(model: nn.Module) -> bool:
    kernels = [p for p in model.parameters() if p.ndim == 4]
    assert kernels
    return all(k.is_contiguous(memory_format=torch.channels_last) and not k.is_contiguous() for k in kernels)


def test_copies_loaded_checkpoints_and_optimiser_steps_keep_the_format() -> None:
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
