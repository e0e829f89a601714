"""RTMDet's head on EfficientNet-Lite2, a wider and deeper backbone than EfficientNet-Lite0, for CPU and GPU.

    python tools/train.py configs/oil/rtmdet_lite2.py
    python tools/test.py configs/oil/rtmdet_lite2.py work_dirs/rtmdet_lite2/iter_1000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = ["rtmdet_lite0.py"]

model = dict(backbone=dict(arch="lite2"), neck=dict(in_channels=[24, 48, 120, 352]))
