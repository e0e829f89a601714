"""RTMDet's anchor-free head on an EfficientNet-Lite0 with an FPN from stride 4."""

model = dict(
    type="RTMDet",
    use_syncbn=False,
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(type="EfficientNetLite", arch="lite0", frozen_stages=2, init_cfg=dict(type="Packaged")),
    neck=dict(type="FPN", in_channels=[24, 40, 112, 320], out_channels=64, num_outs=4, norm_cfg=dict(type="BN")),
    bbox_head=dict(
        type="RTMDetSepBNHead",
        num_classes=1,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        share_conv=True,
        pred_kernel_size=1,
        with_objectness=False,
        exp_on_reg=True,
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="SiLU", inplace=True),
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[4, 8, 16, 32]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(assigner=dict(type="DynamicSoftLabelAssigner", topk=13), allowed_border=-1, pos_weight=-1),
    # tanks stand apart: of 7,308 boxes 18 overlap another by more than IoU 0.2, most of them labels written twice
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.2), max_per_img=1000
    ),
)
