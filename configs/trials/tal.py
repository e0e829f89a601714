"""Task-aligned assignment, as TOOD's head does it, one anchor point a place."""

_base_ = ["../oil/ssd_lite0_x15.py"]

model = dict(
    type="TOOD",
    bbox_head=dict(
        _delete_=True,
        type="SingleSamplingTOODHead",
        num_classes=1,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        anchor_type="anchor_free",
        norm_cfg=dict(type="GN", num_groups=16, requires_grad=True),
        anchor_generator=dict(
            type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[4, 8, 16, 32]
        ),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, activated=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(
        _delete_=True,
        initial_epoch=0,
        initial_assigner=dict(type="ATSSAssigner", topk=9),
        assigner=dict(type="TaskAlignedAssigner", topk=13),
        alpha=1,
        beta=6,
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(vote_iou=None),
)
