"""EfficientDet-D0 with strides 4 to 64: EfficientNet-B0, three BiFPN layers of 64 channels, anchors of 8 to 181 px."""

model = dict(
    type="RetinaNet",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=64,
    ),
    backbone=dict(
        type="EfficientNet",
        arch="b0",
        drop_path_rate=0.2,
        out_indices=(2, 3, 4, 5),
        norm_cfg=dict(type="BN", momentum=0.01, eps=1e-3),
    ),
    neck=dict(type="BiFPN", in_channels=[24, 40, 112, 320], out_channels=64, num_outs=5, stack=3),
    bbox_head=dict(
        type="EfficientDetHead",
        num_classes=1,
        num_ins=5,
        in_channels=64,
        feat_channels=64,
        stacked_convs=3,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=2,
            scales_per_octave=2,
            ratios=[1.0],
            strides=[4, 8, 16, 32, 64],
            center_offset=0.5,
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=1.5, alpha=0.25, loss_weight=1.0),
        # equivalent to the paper's Huber loss with delta 0.1 and weight 50, which is averaged over coordinates
        loss_bbox=dict(type="SmoothL1Loss", beta=0.1, loss_weight=1.25),
    ),
    train_cfg=dict(
        assigner=dict(
            type="MaxIoUAssigner",
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0,
            gt_max_assign_all=False,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type="PseudoSampler"),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=2000, min_bbox_size=0, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.2), max_per_img=1000
    ),
)
