"""DETR with ResNet-50, which learns slowly from few images; for comparison.

    python tools/train.py configs/oil/detr_r50.py --amp
    python tools/test.py configs/oil/detr_r50.py work_dirs/detr_r50/iter_6000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/detr_r50.py",
    "../_base_/schedules/detr_6k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://detr_r50_8xb2-150e_coco"
