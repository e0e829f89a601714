"""Models that mmdet lacks; importing this registers them."""

from oil_storage.models.bifpn import BiFPN
from oil_storage.models.box_voting import VotingRetinaSepBNHead, VotingTTAModel
from oil_storage.models.efficientdet_head import EfficientDetHead
from oil_storage.models.efficientnet_lite import EfficientNetLite
from oil_storage.models.hierarchical_assigner import HierarchicalAssigner
from oil_storage.models.narrow_ssd_vgg import NarrowSSDVGG
from oil_storage.models.ssd_head import PredictingSSDHead
from oil_storage.models.task_aligned_head import SingleSamplingTOODHead
from oil_storage.models.wasserstein import NormalisedWasserstein

__all__ = [
    "BiFPN",
    "EfficientDetHead",
    "EfficientNetLite",
    "HierarchicalAssigner",
    "NarrowSSDVGG",
    "NormalisedWasserstein",
    "PredictingSSDHead",
    "SingleSamplingTOODHead",
    "VotingRetinaSepBNHead",
    "VotingTTAModel",
]
