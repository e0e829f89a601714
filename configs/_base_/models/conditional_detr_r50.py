"""mmdet's Conditional DETR with ResNet-50, for one class. It returns the boxes of all 300 queries."""

_base_ = ["mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # drop data, schedule and runtime for COCO
model.backbone.init_cfg = None  # load_from loads the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 300
