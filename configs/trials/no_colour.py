"""Colours as they are."""

_base_ = ["../oil/ssd_lite0_x15.py"]

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomTileCrop", size=(284, 427), on_box=0.5),
            dict(type="Resize", scale=(512, 512), keep_ratio=False),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="RandomTranspose", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    ),
)
