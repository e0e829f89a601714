"""Use the memory format channels last (NHWC), in which convolutions are fastest.

oneDNN on CPU and the bfloat16 kernels of cuDNN on CUDA use this format internally, and would convert other formats in
every call. Only the weights of convolutions are converted. Activations then get the same format, and copies of the
model (EMA) and loaded checkpoints keep it.

MMCV's operators do not support this format. For example, RoIAlign interprets all memory as NCHW and silently pools from
wrong positions (https://github.com/open-mmlab/mmcv/issues/2203). Therefore these operators keep NCHW, and their inputs
are converted to NCHW.

Do not use this format for models with few channels: oneDNN of torch 2.13 corrupts the heap in the float32 backward pass
of a strided 1x1 convolution whose input has fewer than 16 channels.
"""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from mmengine.runner import Runner
from torch import nn


def to_channels_last(model: nn.Module) -> None:
    """Convert the weights of a model to channels last, in place."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    for module in model.modules():
        if type(module).__module__.startswith("mmcv.ops"):
            module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            module.register_forward_pre_hook(_contiguous)


def _contiguous(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.contiguous() if isinstance(value, torch.Tensor) else value for value in inputs)


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Hook that converts a model to channels last. In distributed training, :class:`ChannelsLastDDP` converts it."""

    priority = "VERY_HIGH"  # before EMA copies the model

    def before_run(self, runner: Runner) -> None:
        """Convert the model in place."""
        if not is_model_wrapper(runner.model):
            to_channels_last(runner.model)


@MODEL_WRAPPERS.register_module()
class ChannelsLastDDP(MMDistributedDataParallel):
    """Distributed wrapper of a model in channels last, with or without CUDA.

    The model is converted before DDP is created, because DDP takes the memory layout of its gradients from the weights.

    Args:
        module: model, which is converted in place.
        device_ids: CUDA devices. mmengine always passes one; it is ignored if the model is not on CUDA.
        **kwargs: arguments of :class:`torch.nn.parallel.DistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: list[int], **kwargs: Any) -> None:
        to_channels_last(module)
        on_cuda = next(module.parameters()).is_cuda
        super().__init__(module, device_ids=device_ids if on_cuda else None, **kwargs)
