"""DINO with ResNet-50, four scales and 900 queries: the main detector of the DETR family.

    python tools/train.py configs/oil/dino_r50.py --amp
    python tools/test.py configs/oil/dino_r50.py work_dirs/dino_r50/iter_6000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/dino_r50.py",
    "../_base_/schedules/detr_6k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://dino-4scale_r50_8xb2-12e_coco"
