"""SSD for training on CPUs and for the demo, with EfficientNet-Lite0 and small anchors at strides 4 to 32.

    python tools/train.py configs/oil/ssd_lite0.py
    python tools/test.py configs/oil/ssd_lite0.py work_dirs/ssd_lite0/iter_1000.pth --split val

2 cores of an AMD EPYC, 35 and 32 minutes (cores partly shared). Airbus data, val (11 scenes; 55 for training), seeds
0 and 1: tile AP 0.511 and 0.516, tile AP50 0.863 and 0.869. Seed 0: scene AP 0.530, scene AP50 0.886, scene F1 0.871.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/ssd_lite0.py",
    "../_base_/schedules/cpu_1k.py",
    "../_base_/default_runtime.py",
]
