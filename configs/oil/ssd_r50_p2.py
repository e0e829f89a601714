"""The SSD family rebuilt for tanks: native tiles, an FPN from stride 4, anchors that fit, ResNet-50.

    python tools/train.py configs/oil/ssd_r50_p2.py --amp
    python tools/test.py configs/oil/ssd_r50_p2.py work_dirs/ssd_r50_p2/iter_4000.pth --split val

Hardware, time, result: not yet run.
"""

_base_ = [
    "../_base_/datasets/tiles_640_64.py",
    "../_base_/models/ssd_r50_p2.py",
    "../_base_/schedules/sgd_4k.py",
    "../_base_/default_runtime.py",
]

load_from = "mmdet://retinanet_r50_fpn_2x_coco"
# COCO's FPN begins at stride 8: its convolutions have moved up by one, and would fit where they must not go
default_hooks = dict(
    pretrained=dict(
        renames=[
            [rf"^neck\.{kind}_convs\.{level}\.", f"neck.{kind}_convs.{level + 1}."]
            for kind in ("lateral", "fpn")
            for level in range(5)
        ],
    ),
)
