"""SSD's backbone with fewer channels, and its head able to predict."""

from typing import Any

from mmdet.models.backbones import SSDVGG
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class NarrowSSDVGG(SSDVGG):
    """mmdet's SSDVGG, whose widths are fixed, with a fraction of its channels.

    Args:
        narrowing: what the channels of each convolution are divided by.
        **kwargs: of :class:`mmdet.models.backbones.SSDVGG`.
    """

    def __init__(self, narrowing: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        channels = 3
        for name, layer in list(self.features.named_children()):
            if isinstance(layer, nn.Conv2d):
                width, (kernel, _), (dilation, _) = layer.out_channels // narrowing, layer.kernel_size, layer.dilation
                padding = kernel // 2 * dilation  # ONNX Runtime fails at "same" with a dilation
                narrow = nn.Conv2d(channels, width, kernel, padding=padding, dilation=dilation)
                self.features.register_module(name, narrow)
                channels = width


@MODELS.register_module()
class PredictingSSDHead(SSDHead):
    """SSDHead as in mmdet; arguments are the same.

    mmdet's prediction asks ``loss_cls`` of a head for an activation of its own, and SSDHead has no such attribute.
    """

    loss_cls = None
