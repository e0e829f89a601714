"""SSD512 of the paper on VGG-16: mmdet's, for one class, on tiles of 256 px that are doubled; its anchors are adapted.

The paper's smallest anchor of 20 px would be 10 px of the scene, and its cells of stride 8 lie 4 px apart there.
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
