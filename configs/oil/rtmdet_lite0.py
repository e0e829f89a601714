"""RTMDet's head on EfficientNet-Lite0 and an FPN of strides 4 to 32, for training on CPUs.

    python tools/train.py configs/oil/rtmdet_lite0.py
    python tools/test.py configs/oil/rtmdet_lite0.py work_dirs/rtmdet_lite0/iter_1000.pth --split val

2 CPU cores with AMX, 30 to 39 minutes. Airbus data, val (11 scenes; 55 for training), seeds 0 and 1: tile AP 0.479 and
0.480, tile AP50 0.812 and 0.806.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/rtmdet_lite0.py",
    "../_base_/schedules/cpu_1k.py",
    "../_base_/default_runtime.py",
]
