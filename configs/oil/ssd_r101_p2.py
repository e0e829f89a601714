"""SSD adapted to tanks, with ResNet-101.

    python tools/train.py configs/oil/ssd_r101_p2.py --amp
    python tools/test.py configs/oil/ssd_r101_p2.py work_dirs/ssd_r101_p2/iter_4000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = ["ssd_r50_p2.py"]

model = dict(backbone=dict(depth=101))
load_from = "mmdet://retinanet_r101_fpn_2x_coco"
