"""Two-stage Deformable DETR with ResNet-50 and iterative refinement of mmdet, for one class, with 600 queries."""

_base_ = ["mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # data, schedule and runtime are COCO's
model.num_queries = 600  # twice the default; these are the best outputs of the first stage and have no weights
model.backbone.init_cfg = None  # load_from brings the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 600
