"""SSD adapted to tanks: tiles at native scale, an FPN of strides 4 to 64, small anchors, ResNet-50.

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
# the FPN of the COCO checkpoint starts at stride 8, so its convolutions are shifted by one level
default_hooks = dict(
    pretrained=dict(
        renames=[
            [rf"^neck\.{kind}_convs\.{level}\.", f"neck.{kind}_convs.{level + 1}."]
            for kind in ("lateral", "fpn")
            for level in range(5)
        ],
    ),
)
