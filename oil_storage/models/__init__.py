"""Models that mmdet lacks; importing this registers them."""

from oil_storage.models.bifpn import BiFPN
from oil_storage.models.box_voting import VotingRetinaSepBNHead, VotingTTAModel
from oil_storage.models.efficientdet_head import EfficientDetHead
from oil_storage.models.efficientnet_lite import EfficientNetLite
from oil_storage.models.narrow_ssd_vgg import NarrowSSDVGG
from oil_storage.models.ssd_head import PredictingSSDHead

__all__ = [
    "BiFPN",
    "EfficientDetHead",
    "EfficientNetLite",
    "NarrowSSDVGG",
    "PredictingSSDHead",
    "VotingRetinaSepBNHead",
    "VotingTTAModel",
]
