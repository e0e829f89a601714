"""The memory format in which convolutions run fastest: channels last (NHWC).

oneDNN on CPU and cuDNN's bfloat16 kernels on CUDA work in it and would reorder on every call otherwise. Converting the
kernels is enough: activations follow, copies of the model (EMA) and checkpoints loaded into it keep the format.

MMCV's own operators do not know it: RoIAlign reads any memory as NCHW, and pools from wrong places without a word
(https://github.com/open-mmlab/mmcv/issues/2203). They keep NCHW, and what they are given is brought back to it.

Not for toys: oneDNN of torch 2.13 corrupts the heap in the float32 backward of a strided 1x1 convolution whose input
has fewer than 16 channels.
"""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from mmengine.runner import Runner
from torch import nn


def to_channels_last(model: nn.Module) -> None:
    """Store a model's kernels channels last, in place."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    for module in model.modules():
        if type(module).__module__.startswith("mmcv.ops"):
            module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            module.register_forward_pre_hook(_contiguous)


def _contiguous(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.contiguous() if isinstance(each, torch.Tensor) else each for each in inputs)


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Stores the kernels of a model that runs in one process channels last."""

    priority = "VERY_HIGH"  # before EMA copies the model

    def before_run(self, runner: Runner) -> None:
        """Convert the model in place."""
        if not is_model_wrapper(runner.model):
            to_channels_last(runner.model)


@MODEL_WRAPPERS.register_module()
class ChannelsLastDDP(MMDistributedDataParallel):
    """One process's replica of a model, channels last, with CUDA or without.

    DDP lays out its gradient buckets by the strides it finds, so the format is set before.

    Args:
        module: the model, converted in place.
        device_ids: mmengine names a CUDA device here in any case; without CUDA there must be none.
        **kwargs: of :class:`torch.nn.parallel.DistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: list[int], **kwargs: Any) -> None:
        to_channels_last(module)
        on_cuda = next(module.parameters()).is_cuda
        super().__init__(module, device_ids=device_ids if on_cuda else None, **kwargs)
