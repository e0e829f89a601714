"""Models; importing this module registers them with mmdet."""

from oil_storage.models.all_priors_sampler import AllPriorsSampler
from oil_storage.models.box_voting import VotingRetinaSepBNHead, VotingTTAModel
from oil_storage.models.efficientdet import BiFPN, EfficientDetHead
from oil_storage.models.efficientnet_lite import EfficientNetLite
from oil_storage.models.ssd import NarrowSSDVGG, PredictingSSDHead

__all__ = [
    "AllPriorsSampler",
    "BiFPN",
    "EfficientDetHead",
    "EfficientNetLite",
    "NarrowSSDVGG",
    "PredictingSSDHead",
    "VotingRetinaSepBNHead",
    "VotingTTAModel",
]
