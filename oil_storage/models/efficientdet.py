"""Neck and head of EfficientDet.

Source: Tan, Pang and Le, "EfficientDet", https://arxiv.org/abs/1911.09070, sections 3 and 4.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmdet.models.dense_heads import RetinaSepBNHead
from mmdet.registry import MODELS
from mmengine.model import BaseModule, bias_init_with_prob, normal_init
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-4
NORM_CFG = {"type": "BN", "momentum": 0.01, "eps": 1e-3}
PRIOR = 0.01
"""Initial score of every anchor."""


def halve(x: Tensor) -> Tensor:
    """Downsample a feature map to ``(B, C, ceil(H / 2), ceil(W / 2))``."""
    return functional.max_pool2d(x, 3, stride=2, padding=1)


class WeightedSum(nn.Module):
    """Fusion of feature maps: mean with learnt weights, Swish activation, and separable convolution."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.conv = DepthwiseSeparableConvModule(
            channels, channels, 3, padding=1, dw_act_cfg=None, pw_norm_cfg=NORM_CFG, pw_act_cfg=None
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse maps ``(B, C, H, W)`` of the same shape."""
        weights = functional.relu(self.weights)
        fused = sum(weight * x for weight, x in zip(weights / (weights.sum() + EPSILON), maps, strict=True))
        out: Tensor = self.conv(functional.silu(fused))
        return out


class BiFPNLayer(nn.Module):
    """Top-down pass and bottom-up pass over a pyramid of at least 2 levels."""

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList([WeightedSum(2, channels) for _ in range(levels - 1)])
        self.up = nn.ModuleList([WeightedSum(3, channels) for _ in range(levels - 2)] + [WeightedSum(2, channels)])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Fuse maps ``(B, C, H_i, W_i)``, finest first, each half the size of the previous one; keep their shapes."""
        down = [maps[-1]]
        for fuse, x in zip(reversed(self.down), reversed(maps[:-1]), strict=True):
            down.insert(0, fuse([x, functional.interpolate(down[0], x.shape[-2:], mode="nearest")]))
        up = [down[0]]
        for level, fuse in enumerate(self.up, 1):
            own = [maps[level], down[level]] if level < len(maps) - 1 else [maps[level]]
            up.append(fuse([*own, halve(up[-1])]))
        return up


@MODELS.register_module()
class BiFPN(BaseModule):
    """Bidirectional feature pyramid.

    As in the paper, each map of the backbone is projected once. The original code projects it again for the bottom-up
    pass.

    Args:
        in_channels: numbers of channels of the backbone maps, finest first.
        out_channels: number of channels of each output.
        num_outs: number of output levels. Additional levels are downsampled from the last backbone map.
        stack: number of BiFPN layers.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int, stack: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            [ConvModule(channels, out_channels, 1, norm_cfg=NORM_CFG, act_cfg=None) for channels in in_channels]
        )
        self.num_outs = num_outs
        self.walks = nn.Sequential(*[BiFPNLayer(num_outs, out_channels) for _ in range(stack)])

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Convert backbone maps ``(B, C_i, H_i, W_i)`` to ``num_outs`` maps with ``out_channels`` channels."""
        out = [project(x) for project, x in zip(self.projections, maps, strict=True)]
        while len(out) < self.num_outs:
            out.append(halve(out[-1]))
        return tuple(self.walks(out))


@MODELS.register_module()
class EfficientDetHead(RetinaSepBNHead):
    """Head of separable convolutions. All levels share the convolutions, but have separate batch norms.

    See :class:`mmdet.models.dense_heads.RetinaSepBNHead` for the arguments.
    """

    def _init_layers(self) -> None:
        self.cls_convs, self.reg_convs = self._towers(), self._towers()
        self.retina_cls = self._separable(self.feat_channels, self.num_base_priors * self.cls_out_channels)
        self.retina_reg = self._separable(self.feat_channels, self.num_base_priors * 4)

    def init_weights(self) -> None:
        """Initialise the last layers so that each score is about :data:`PRIOR` and each box equals its anchor."""
        super(RetinaSepBNHead, self).init_weights()
        normal_init(self.retina_cls.pointwise_conv.conv, std=0.01, bias=bias_init_with_prob(PRIOR))
        normal_init(self.retina_reg.pointwise_conv.conv, std=0.01)

    def _towers(self) -> nn.ModuleList:
        """Return one tower of ``stacked_convs`` layers for each level; the towers share their convolutions."""
        channels = [self.in_channels] + [self.feat_channels] * self.stacked_convs
        convs = [self._separable(*pair) for pair in pairwise(channels)]
        return nn.ModuleList(
            nn.ModuleList(
                nn.Sequential(conv, nn.BatchNorm2d(self.feat_channels, eps=1e-3, momentum=0.01), nn.SiLU(inplace=True))
                for conv in convs
            )
            for _ in range(self.num_ins)
        )

    @staticmethod
    def _separable(inputs: int, outputs: int) -> DepthwiseSeparableConvModule:
        return DepthwiseSeparableConvModule(inputs, outputs, 3, padding=1, act_cfg=None, bias=True)
