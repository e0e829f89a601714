"""TensorFlow's SSD ResNet-101 v1 FPN, built from MMDetection's RetinaNet."""

_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py"]

# TF's momentum, 0.997, is the weight of the old running mean; torch's momentum is the weight of the new value
norm_cfg = dict(type="BN", momentum=0.003, eps=1e-3, requires_grad=True)

model = dict(
    backbone=dict(
        depth=101,
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=None,  # load_from loads the weights
    ),
    neck=dict(add_extra_convs="on_output"),
    bbox_head=dict(
        _delete_=True,
        type="RetinaSepBNHead",
        num_classes=1,
        num_ins=5,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        norm_cfg=norm_cfg,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=2,
            ratios=[1.0, 2.0, 0.5],
            strides=[8, 16, 32, 64, 128],
            center_offset=0.5,
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        # a weight of 0.25 averages over the four coordinates
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0, loss_weight=0.25),
    ),
    train_cfg=dict(
        # several anchors can contain a small box and have equal IoU; TF's matcher selects one of them
        assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0, match_low_quality=True, gt_max_assign_all=False),
    ),
    test_cfg=dict(nms_pre=-1, score_thr=1e-8, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100),
)
