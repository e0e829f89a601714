"""DINO with ResNet-50 and five scales: an additional level of stride 4 for small tanks.

    python tools/train.py configs/oil/dino_5scale_r50.py --amp
    python tools/test.py configs/oil/dino_5scale_r50.py work_dirs/dino_5scale_r50/iter_6000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/dino_5scale_r50.py",
    "../_base_/schedules/detr_6k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://dino-4scale_r50_8xb2-12e_coco"
# the neck of the COCO checkpoint starts at stride 8, so its convolutions are shifted by one level
default_hooks = dict(
    pretrained=dict(renames=[[rf"^neck\.convs\.{level}\.", f"neck.convs.{level + 1}."] for level in range(3)]),
)
