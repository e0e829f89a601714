"""The SSD family at CPU scale: anchors and smooth L1 on EfficientNet-Lite0, from stride 4.

    python tools/train.py configs/oil/ssd_lite0.py

Hardware, time, result on real scenes: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/ssd_lite0.py",
    "../_base_/schedules/cpu_1k.py",
    "../_base_/default_runtime.py",
]
