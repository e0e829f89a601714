"""Deformable DETR on ResNet-50, two-stage with iterative refinement: mmdet's, for one class, with twice the queries."""

_base_ = ["mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # data, schedule and runtime are COCO's
model.num_queries = 600  # the best 600 places of the first stage: no weights of their own
model.backbone.init_cfg = None  # load_from brings the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 600
