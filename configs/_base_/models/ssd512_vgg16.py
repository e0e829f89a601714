"""SSD512 with VGG-16 of mmdet, for one class, with anchors for tiles of 256 px that are enlarged to 512 px.

At this scale, the paper's smallest anchor of 20 px covers 10 px of the scene, and the stride of 8 px is 4 px.
"""

_base_ = ["mmdet::ssd/ssd512_coco.py"]

model = _base_.pop("model")
_base_.clear()  # data, schedule and runtime are COCO's
model.backbone.init_cfg = None  # load_from brings the weights
model.bbox_head.update(type="PredictingSSDHead", num_classes=1)
model.bbox_head.anchor_generator.update(
    basesize_ratio_range=None,
    min_sizes=[16, 40, 80, 160, 240, 320, 400],
    max_sizes=[40, 80, 160, 240, 320, 400, 480],
)
model.test_cfg.update(nms=dict(type="nms", iou_threshold=0.2), score_thr=0.01, max_per_img=1000)
