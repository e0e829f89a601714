import pytest
import torch

from oil_storage.models.bifpn import BiFPN, BiFPNLayer, WeightedSum


@pytest.mark.parametrize(("height", "width"), [(64, 64), (60, 52), (33, 47)])
def test_shapes_are_those_of_a_pyramid_that_halves(height: int, width: int) -> None:
    neck = BiFPN([8, 12, 16], 4, num_outs=5, stack=2).eval()
    sides = [(height, width)]
    for _ in range(4):
        sides.append(tuple(-(-side // 2) for side in sides[-1]))
    maps = [torch.rand(2, channels, *side) for channels, side in zip((8, 12, 16), sides, strict=False)]
    assert [tuple(out.shape) for out in neck(maps)] == [(2, 4, *side) for side in sides]


def test_equal_maps_in_equal_parts_stay_what_they_are() -> None:
    fuse = WeightedSum(2, 4)
    fuse.conv = torch.nn.Identity()
    x = torch.rand(1, 4, 8, 8)
    assert torch.allclose(fuse([x, x]), torch.nn.functional.silu(x), atol=1e-3)


def test_a_map_whose_weight_is_negative_has_no_part() -> None:
    fuse = WeightedSum(2, 4).eval()
    fuse.weights.data[1] = -3.0
    x = torch.rand(1, 4, 8, 8)
    assert torch.equal(fuse([x, torch.rand(1, 4, 8, 8)]), fuse([x, torch.rand(1, 4, 8, 8)]))


def test_every_level_hears_of_every_other() -> None:
    layer = BiFPNLayer(4, 4).eval()
    maps = [torch.rand(1, 4, side, side, requires_grad=True) for side in (16, 8, 4, 2)]
    for out in layer(maps):
        gradients = torch.autograd.grad(out.sum(), maps, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_batch_is_its_images() -> None:
    neck = BiFPN([8, 12], 4, num_outs=3, stack=1).eval()
    maps = [torch.rand(2, 8, 16, 16), torch.rand(2, 12, 8, 8)]
    for both, first in zip(neck(maps), neck([x[:1] for x in maps]), strict=True):
        assert torch.allclose(both[:1], first, atol=1e-6)
