"""EfficientNet-Lite0 and an FPN with strides 4 to 32, without a head: the common part of the CPU detectors."""

model = dict(
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(type="EfficientNetLite", arch="lite0", frozen_stages=2, init_cfg=dict(type="Packaged")),
    neck=dict(type="FPN", in_channels=[24, 40, 112, 320], out_channels=64, num_outs=4, norm_cfg=dict(type="BN")),
    # tanks hardly overlap: only 18 of 7,308 boxes have an IoU above 0.2 with another box, mostly a duplicate label
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.2), max_per_img=1000
    ),
)
