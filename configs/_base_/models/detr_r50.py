"""DETR with ResNet-50 of mmdet, for one class, with 300 queries, because a tile contains up to 213 tanks."""

_base_ = ["mmdet::detr/detr_r50_8xb2-150e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # data, schedule and runtime are COCO's
model.num_queries = 300
model.backbone.init_cfg = None  # load_from brings the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 300
