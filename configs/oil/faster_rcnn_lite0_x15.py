"""Slim Faster R-CNN for training on CPUs, on tiles magnified 1.5 times.

    python tools/train.py configs/oil/faster_rcnn_lite0_x15.py
    python tools/test.py configs/oil/faster_rcnn_lite0_x15.py work_dirs/faster_rcnn_lite0_x15/iter_1850.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64_x15.py",
    "../_base_/models/faster_rcnn_lite0.py",
    "../_base_/schedules/cpu_1850.py",
    "../_base_/default_runtime.py",
]
