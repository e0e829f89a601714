"""mmdet's DDQ-DETR with ResNet-50 and four scales, for one class. It returns 900 boxes instead of 300."""

_base_ = ["mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # drop data, schedule and runtime for COCO
model.backbone.init_cfg = None  # load_from loads the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 900
