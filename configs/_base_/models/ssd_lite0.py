"""Head, box coder and losses of SSD on EfficientNet-Lite0 and an FPN with strides 4 to 32.

One anchor ratio is enough for round tanks. Three scales per octave, starting at twice the stride, give sides of 8 to
102 px. They match 97 % of the boxes in the Airbus scenes at IoU 0.5. Each remaining box is matched to the anchor with
the highest IoU. Most of the remaining boxes are under 8 px.
"""

_base_ = ["lite0_fpn.py"]

model = dict(
    type="RetinaNet",
    bbox_head=dict(
        type="RetinaSepBNHead",
        num_classes=1,
        num_ins=4,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type="BN"),
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=2,
            scales_per_octave=3,
            ratios=[1.0],
            strides=[4, 8, 16, 32],
            center_offset=0.5,
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0, loss_weight=0.25),
    ),
    train_cfg=dict(
        assigner=dict(
            type="MaxIoUAssigner",
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            gt_max_assign_all=False,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type="AllPriorsSampler"),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
)
