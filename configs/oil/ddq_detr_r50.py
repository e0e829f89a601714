"""DDQ-DETR with ResNet-50, four scales and 900 distinct queries.

    python tools/train.py configs/oil/ddq_detr_r50.py --amp
    python tools/test.py configs/oil/ddq_detr_r50.py work_dirs/ddq_detr_r50/iter_6000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/ddq_detr_r50.py",
    "../_base_/schedules/detr_6k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://ddq-detr-4scale_r50_8xb2-12e_coco"
