"""YOLOX-s; on these scenes, its published AP is 0.588 and its AP50 0.856 (10 epochs, another split).

    python tools/train.py configs/oil/yolox_s.py --amp
    python tools/test.py configs/oil/yolox_s.py work_dirs/yolox_s/epoch_60.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64_mosaic.py",
    "../_base_/models/yolox_s.py",
    "../_base_/schedules/mosaic_sgd_60e.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://yolox_s_8x8_300e_coco"
