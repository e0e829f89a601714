"""Cascade R-CNN with ResNet-50 and FPN: three heads with rising IoU thresholds, for accurate boxes (AP75).

    python tools/train.py configs/oil/cascade_rcnn_r50.py --amp
    python tools/test.py configs/oil/cascade_rcnn_r50.py work_dirs/cascade_rcnn_r50/iter_4000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/cascade_rcnn_r50.py",
    "../_base_/schedules/sgd_4k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://cascade-rcnn_r50_fpn_20e_coco"
