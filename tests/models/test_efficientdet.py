import pytest
import torch
from mmengine.config import ConfigDict

from oil_storage.models.efficientdet import PRIOR, BiFPN, BiFPNLayer, EfficientDetHead, WeightedSum


@pytest.mark.parametrize(("height", "width"), [(64, 64), (60, 52), (33, 47)])
def test_each_level_has_half_the_size_of_the_previous_one(height: int, width: int) -> None:
    neck = BiFPN([8, 12, 16], 4, num_outs=5, stack=2).eval()
    sides = [(height, width)]
    for _ in range(4):
        sides.append(tuple(-(-side // 2) for side in sides[-1]))
    maps = [torch.rand(2, channels, *side) for channels, side in zip((8, 12, 16), sides, strict=False)]
    assert [tuple(out.shape) for out in neck(maps)] == [(2, 4, *side) for side in sides]


def test_fusion_of_equal_maps_with_equal_weights_changes_nothing() -> None:
    fuse = WeightedSum(2, 4)
    fuse.conv = torch.nn.Identity()
    x = torch.rand(1, 4, 8, 8)
    assert torch.allclose(fuse([x, x]), torch.nn.functional.silu(x), atol=1e-3)


def test_fusion_ignores_maps_with_negative_weights() -> None:
    fuse = WeightedSum(2, 4).eval()
    fuse.weights.data[1] = -3.0
    x = torch.rand(1, 4, 8, 8)
    assert torch.equal(fuse([x, torch.rand(1, 4, 8, 8)]), fuse([x, torch.rand(1, 4, 8, 8)]))


def test_every_output_depends_on_every_input() -> None:
    layer = BiFPNLayer(4, 4).eval()
    maps = [torch.rand(1, 4, side, side, requires_grad=True) for side in (16, 8, 4, 2)]
    for out in layer(maps):
        gradients = torch.autograd.grad(out.sum(), maps, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_batch_gives_the_same_result_as_single_images() -> None:
    neck = BiFPN([8, 12], 4, num_outs=3, stack=1).eval()
    maps = [torch.rand(2, 8, 16, 16), torch.rand(2, 12, 8, 8)]
    for both, first in zip(neck(maps), neck([x[:1] for x in maps]), strict=True):
        assert torch.allclose(both[:1], first, atol=1e-6)


HEAD = {
    "num_classes": 1,
    "num_ins": 3,
    "in_channels": 8,
    "feat_channels": 12,
    "stacked_convs": 2,
    "anchor_generator": {
        "type": "AnchorGenerator",
        "octave_base_scale": 2,
        "scales_per_octave": 2,
        "ratios": [1.0],
        "strides": [4, 8, 16],
    },
    "train_cfg": ConfigDict(assigner={"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.5}),
}


def make_head() -> EfficientDetHead:
    head = EfficientDetHead(**HEAD)
    head.init_weights()
    return head


def test_levels_share_convolutions_but_not_norms() -> None:
    head = make_head()
    for towers in (head.cls_convs, head.reg_convs):
        assert len({id(tower[0][0]) for tower in towers}) == 1
        assert len({id(tower[0][1]) for tower in towers}) == 3
    assert head.cls_convs[0][0][0] is not head.reg_convs[0][0][0]


def test_every_level_gives_one_score_and_one_box_per_anchor() -> None:
    maps = [torch.rand(2, 8, side, side) for side in (16, 8, 4)]
    scores, boxes = make_head().eval()(maps)
    assert [tuple(level.shape) for level in scores] == [(2, 2, side, side) for side in (16, 8, 4)]
    assert [tuple(level.shape) for level in boxes] == [(2, 8, side, side) for side in (16, 8, 4)]


def test_initial_scores_are_about_the_prior() -> None:
    scores, _ = make_head().eval()([torch.rand(1, 8, 16, 16)])
    assert torch.allclose(scores[0].sigmoid(), torch.tensor(PRIOR), atol=0.01)
