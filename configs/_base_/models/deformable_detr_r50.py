"""mmdet's two-stage Deformable DETR with ResNet-50 and iterative refinement, for one class, with 600 queries."""

_base_ = ["mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py"]

model = _base_.pop("model")
_base_.clear()  # drop data, schedule and runtime for COCO
model.num_queries = 600  # twice the default; the first stage computes the queries, so there are no weights for them
model.backbone.init_cfg = None  # load_from loads the weights
model.bbox_head.num_classes = 1
model.test_cfg.max_per_img = 600
