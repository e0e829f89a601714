"""The memory format in which convolutions run fastest."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store the model's convolution kernels channels last (NHWC).

    oneDNN on CPU and cuDNN's bfloat16 kernels on CUDA work in this format and would reorder on every call otherwise.
    Activations follow the kernels, copies (EMA) and checkpoints loaded into the model keep it.
    """

    priority = "VERY_HIGH"  # before EMA copies the model

    def before_run(self, runner: Runner) -> None:
        """Convert the model in place."""
        runner.model.to(memory_format=torch.channels_last)
