"""SSD backbone with fewer channels, and SSD head with a fix for prediction."""

from typing import Any

from mmdet.models.backbones import SSDVGG
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class NarrowSSDVGG(SSDVGG):
    """SSDVGG with fewer channels.

    Args:
        narrowing: divisor of the number of channels of each convolution.
        **kwargs: arguments of :class:`mmdet.models.backbones.SSDVGG`.
    """

    def __init__(self, narrowing: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        channels = 3
        for name, layer in list(self.features.named_children()):
            if isinstance(layer, nn.Conv2d):
                width, (kernel, _), (dilation, _) = layer.out_channels // narrowing, layer.kernel_size, layer.dilation
                padding = kernel // 2 * dilation  # ONNX Runtime does not support "same" with a dilation
                narrow = nn.Conv2d(channels, width, kernel, padding=padding, dilation=dilation)
                self.features.register_module(name, narrow)
                channels = width


@MODELS.register_module()
class PredictingSSDHead(SSDHead):
    """SSDHead with the attribute ``loss_cls``.

    The prediction code of mmdet reads ``loss_cls``, but SSDHead does not define it.
    """

    loss_cls = None
