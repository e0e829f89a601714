"""DINO, ResNet-50, five scales: a level of stride 4 for small tanks.

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
# COCO's neck begins at stride 8: its convolutions have moved up by one; their norms would fit where they must not go
default_hooks = dict(
    pretrained=dict(renames=[[rf"^neck\.convs\.{level}\.", f"neck.convs.{level + 1}."] for level in range(3)]),
)
