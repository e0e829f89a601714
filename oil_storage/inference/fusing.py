"""Batch norms folded into the convolutions before them, which saves a pass over every activation."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse(model: nn.Module) -> int:
    """Fold what can be folded, in place; returns how many.

    A norm follows the convolution that its module names before it, as in MMCV's and torch's modules. Of a convolution
    that several norms share, as in RTMDet's head, each gets a copy of its own.

    Args:
        model: in evaluation mode.
    """
    number = 0
    for module in model.modules():
        before: tuple[str, nn.Conv2d] | None = None
        for name, child in list(module._modules.items()):
            if isinstance(child, nn.BatchNorm2d) and before is not None:
                convolution = before[1]
                if convolution.out_channels == child.num_features:
                    module._modules[before[0]] = fuse_conv_bn_eval(convolution, child)
                    module._modules[name] = nn.Identity()
                    number += 1
            if child is not None:
                before = (name, child) if isinstance(child, nn.Conv2d) else None
    return number
