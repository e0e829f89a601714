"""Faster R-CNN with ResNet-50 and FPN, with anchors and sampling for hundreds of small tanks.

    python tools/train.py configs/oil/faster_rcnn_r50.py --amp
    python tools/test.py configs/oil/faster_rcnn_r50.py work_dirs/faster_rcnn_r50/iter_4000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/faster_rcnn_r50.py",
    "../_base_/schedules/sgd_4k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://faster-rcnn_r50_fpn_2x_coco"
