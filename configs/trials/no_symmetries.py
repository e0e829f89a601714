"""No mirroring and no turning."""

_base_ = ["../oil/ssd_lite0_x15.py"]

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomTileCrop", size=(284, 427), on_box=0.5),
            dict(type="Resize", scale=(512, 512), keep_ratio=False),
            dict(type="PhotoMetricDistortion"),
            dict(type="PackDetInputs"),
        ],
    ),
)
