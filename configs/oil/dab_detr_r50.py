"""DAB-DETR with ResNet-50 and one scale of stride 32, which is coarse for tanks; for comparison.

    python tools/train.py configs/oil/dab_detr_r50.py --amp
    python tools/test.py configs/oil/dab_detr_r50.py work_dirs/dab_detr_r50/iter_6000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/dab_detr_r50.py",
    "../_base_/schedules/detr_6k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://dab-detr_r50_8xb2-50e_coco"
