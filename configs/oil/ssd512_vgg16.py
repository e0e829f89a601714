"""SSD512 of the paper with VGG-16, on tiles of 256 px that are enlarged to 512 px.

    python tools/train.py configs/oil/ssd512_vgg16.py --amp
    python tools/test.py configs/oil/ssd512_vgg16.py work_dirs/ssd512_vgg16/iter_4000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_256_32.py",
    "../_base_/models/ssd512_vgg16.py",
    "../_base_/schedules/sgd_4k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://ssd512_coco"
optim_wrapper = dict(optimizer=dict(lr=1e-3))  # as in the paper; VGG without batch norm diverges at 1e-2
