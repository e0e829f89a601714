"""RTMDet-m, a fast anchor-free detector with strides 8 to 32, trained on mosaics.

    python tools/train.py configs/oil/rtmdet_m.py --amp
    python tools/test.py configs/oil/rtmdet_m.py work_dirs/rtmdet_m/epoch_60.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64_mosaic.py",
    "../_base_/models/rtmdet_m.py",
    "../_base_/schedules/mosaic_adamw_60e.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://rtmdet_m_8xb32-300e_coco"
