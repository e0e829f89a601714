"""Faster R-CNN with ResNet-50 and FPN, with RPN anchors of 8 to 181 px, and sampling for hundreds of objects."""

_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py"]

proposals = dict(nms_pre=3000, max_per_img=3000)

model = dict(
    backbone=dict(init_cfg=None),  # load_from loads the weights
    rpn_head=dict(
        anchor_generator=dict(
            _delete_=True,
            type="AnchorGenerator",
            octave_base_scale=2,
            scales_per_octave=2,
            ratios=[1.0],
            strides=[4, 8, 16, 32, 64],
            center_offset=0.5,
        ),
    ),
    roi_head=dict(bbox_head=dict(num_classes=1)),
    train_cfg=dict(
        rpn=dict(assigner=dict(pos_iou_thr=0.5), sampler=dict(num=1024)),
        rpn_proposal=proposals,
        rcnn=dict(sampler=dict(num=1024)),  # a quarter, 256, can be positive; a tile contains up to 213 tanks
    ),
    test_cfg=dict(
        rpn=proposals,
        rcnn=dict(score_thr=0.01, nms=dict(type="nms", iou_threshold=0.2), max_per_img=1000),
    ),
)
