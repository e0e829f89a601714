"""Two-stage Deformable DETR with ResNet-50, iterative refinement and 600 queries.

    python tools/train.py configs/oil/deformable_detr_r50.py --amp
    python tools/test.py configs/oil/deformable_detr_r50.py work_dirs/deformable_detr_r50/iter_6000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/deformable_detr_r50.py",
    "../_base_/schedules/detr_6k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://deformable-detr-refine-twostage_r50_16xb2-50e_coco"
