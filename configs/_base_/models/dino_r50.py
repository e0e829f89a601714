"""DINO with ResNet-50 and four scales of mmdet, for one class; returns all 900 queries instead of 300."""

_base_ = ["mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # data, schedule and runtime are COCO's
model.backbone.init_cfg = None  # load_from brings the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 900
