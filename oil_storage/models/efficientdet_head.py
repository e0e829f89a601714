"""EfficientDet's head: mmdet's shared head with a batch norm a level, made of separable convolutions and swish."""

from mmcv.cnn import DepthwiseSeparableConvModule
from mmdet.models.dense_heads import RetinaSepBNHead
from mmdet.registry import MODELS
from mmengine.model import bias_init_with_prob, normal_init
from torch import nn

PRIOR = 0.01
"""Score of every anchor before anything is learnt."""


@MODELS.register_module()
class EfficientDetHead(RetinaSepBNHead):
    """Classification and box towers, shared over levels but for their batch norms.

    Source: Tan, Pang and Le, "EfficientDet", https://arxiv.org/abs/1911.09070, section 4; arguments are those of
    :class:`mmdet.models.dense_heads.RetinaSepBNHead`.
    """

    def _init_layers(self) -> None:
        self.cls_convs, self.reg_convs = self._towers(), self._towers()
        self.retina_cls = self._separable(self.feat_channels, self.num_base_priors * self.cls_out_channels)
        self.retina_reg = self._separable(self.feat_channels, self.num_base_priors * 4)

    def init_weights(self) -> None:
        """Initialise the last layers, so that every anchor's score is :data:`PRIOR` and every box its anchor."""
        super(RetinaSepBNHead, self).init_weights()
        normal_init(self.retina_cls.pointwise_conv.conv, std=0.01, bias=bias_init_with_prob(PRIOR))
        normal_init(self.retina_reg.pointwise_conv.conv, std=0.01)

    def _towers(self) -> nn.ModuleList:
        """A tower a level, ``(num_ins, stacked_convs)``; convolutions of the same depth are one."""
        convs = [
            self._separable(self.feat_channels if depth else self.in_channels, self.feat_channels)
            for depth in range(self.stacked_convs)
        ]
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
