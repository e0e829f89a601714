import torch
from mmdet.models.backbones import SSDVGG

from oil_storage.models.ssd import NarrowSSDVGG


def test_the_narrow_vgg_has_the_same_maps_with_fewer_channels() -> None:
    image = torch.rand(1, 3, 64, 64)
    same = {"depth": 11, "out_feature_indices": (14, 24)}
    with torch.no_grad():
        narrow, whole = NarrowSSDVGG(narrowing=8, **same)(image), SSDVGG(**same)(image)
    assert [tuple(level.shape) for level in narrow] == [(1, 64, 8, 8), (1, 128, 4, 4)]
    assert [tuple(level.shape) for level in whole] == [(1, 512, 8, 8), (1, 1024, 4, 4)]
