"""DETR on ResNet-50, with three times COCO's queries: up to 213 tanks stand in a tile of 640 px."""

_base_ = ["mmdet::detr/detr_r50_8xb2-150e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # data, schedule and runtime are COCO's
model.num_queries = 300
model.backbone.init_cfg = None  # load_from brings the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 300
