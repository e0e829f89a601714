"""RTMDet's head on EfficientNet-Lite0, from stride 4: the CPU scale, and the demo.

python tools/train.py configs/oil/rtmdet_lite0.py
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/rtmdet_lite0.py",
    "../_base_/schedules/cpu_1k.py",
    "../_base_/default_runtime.py",
]
