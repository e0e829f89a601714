"""EfficientDet-D0 with EfficientNet-B0 and a BiFPN of strides 4 to 64.

    python tools/train.py configs/oil/efficientdet_d0.py --amp
    python tools/test.py configs/oil/efficientdet_d0.py work_dirs/efficientdet_d0/iter_4000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/efficientdet_d0.py",
    "../_base_/schedules/sgd_4k.py",
    "../_base_/default_runtime.py",
]

load_from = "https://download.openmmlab.com/mmclassification/v0/efficientnet/efficientnet-b0_3rdparty_8xb32-aa_in1k_20220119-8d939117.pth"
