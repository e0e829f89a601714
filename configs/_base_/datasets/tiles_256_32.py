"""Tiles of 256 px that overlap by 32 px, enlarged to 512 px; flips and rotations by 90 degrees in training.

python tools/prepare_dataset.py SOURCE data/oil_storage --tile 256 --overlap 32
"""

_base_ = ["tiles_640_64.py"]

tiles = dict(tile=256, overlap=32)
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(512, 512), keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

train_dataloader = dict(
    dataset=dict(
        **tiles,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="Resize", scale=(512, 512), keep_ratio=False),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="RandomTranspose", prob=0.5),
            dict(type="PhotoMetricDistortion"),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(dataset=dict(**tiles, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**tiles, pipeline=test_pipeline))
del tiles, test_pipeline
