"""Faster R-CNN with ResNet-101.

    python tools/train.py configs/oil/faster_rcnn_r101.py --amp
    python tools/test.py configs/oil/faster_rcnn_r101.py work_dirs/faster_rcnn_r101/iter_4000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = ["faster_rcnn_r50.py"]

model = dict(backbone=dict(depth=101))
load_from = "mmdet://faster-rcnn_r101_fpn_2x_coco"
