import torch
from mmengine.config import ConfigDict

from oil_storage.models.efficientdet_head import PRIOR, EfficientDetHead

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


def head() -> EfficientDetHead:
    made = EfficientDetHead(**HEAD)
    made.init_weights()
    return made


def test_convolutions_are_shared_over_levels_and_norms_are_not() -> None:
    made = head()
    for towers in (made.cls_convs, made.reg_convs):
        assert len({id(tower[0][0]) for tower in towers}) == 1
        assert len({id(tower[0][1]) for tower in towers}) == 3
    assert made.cls_convs[0][0][0] is not made.reg_convs[0][0][0]


def test_every_level_gives_a_score_and_a_box_an_anchor() -> None:
    maps = [torch.rand(2, 8, side, side) for side in (16, 8, 4)]
    scores, boxes = head().eval()(maps)
    assert [tuple(one.shape) for one in scores] == [(2, 2, side, side) for side in (16, 8, 4)]
    assert [tuple(one.shape) for one in boxes] == [(2, 8, side, side) for side in (16, 8, 4)]


def test_before_training_every_score_is_about_the_prior() -> None:
    scores, _ = head().eval()([torch.rand(1, 8, 16, 16)])
    assert torch.allclose(scores[0].sigmoid(), torch.tensor(PRIOR), atol=0.01)
