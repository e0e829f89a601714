"""mmdet's DETR with ResNet-50, for one class. It has 300 queries, because a tile contains up to 213 tanks."""

_base_ = ["mmdet::detr/detr_r50_8xb2-150e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # drop data, schedule and runtime for COCO
model.num_queries = 300
model.backbone.init_cfg = None  # load_from loads the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 300
