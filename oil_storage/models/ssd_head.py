"""mmdet's head of the SSD paper, able to predict."""

from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS


@MODELS.register_module()
class PredictingSSDHead(SSDHead):
    """SSDHead as in mmdet; arguments are the same.

    To predict, mmdet's dense heads ask their ``loss_cls`` whether it brings an activation of its own (since 3.1, for
    V3Det), and its SSDHead, which computes its loss itself, has none to ask.
    """

    loss_cls = None
