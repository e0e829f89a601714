"""TOOD's head under autocast on a CPU, where deformable sampling wants single precision."""

from mmdet.models.dense_heads import TOODHead
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class SingleSamplingTOODHead(TOODHead):
    """TOODHead as in mmdet, sampling in single precision."""

    def deform_sampling(self, feat: Tensor, offset: Tensor) -> Tensor:
        """See mmdet."""
        sampled: Tensor = super().deform_sampling(feat.float(), offset.float())
        return sampled
