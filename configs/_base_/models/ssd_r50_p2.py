"""SSD adapted to tanks: ResNet-50, an FPN with strides 4 to 64, and anchors of 8 to 181 px."""

_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py"]

model = dict(
    backbone=dict(init_cfg=None),  # load_from loads the weights
    neck=dict(start_level=0, add_extra_convs="on_output"),
    bbox_head=dict(
        _delete_=True,
        type="RetinaSepBNHead",
        num_classes=1,
        num_ins=5,
        in_channels=256,
        feat_channels=256,
        stacked_convs=2,  # convolutions at stride 4 cost four times as much as at stride 8
        norm_cfg=dict(type="BN"),
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=2,
            scales_per_octave=2,
            ratios=[1.0],
            strides=[4, 8, 16, 32, 64],
            center_offset=0.5,
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0, loss_weight=0.25),
    ),
    train_cfg=dict(assigner=dict(min_pos_iou=0, gt_max_assign_all=False)),
    test_cfg=dict(nms_pre=2000, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.2), max_per_img=1000),
)
