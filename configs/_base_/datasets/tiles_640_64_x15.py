"""Tiles of ``tiles_640_64.py`` magnified 1.5 times, or 1.2 to 1.8 times in training, for small tanks."""

_base_ = ["tiles_640_64.py"]

test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale_factor=1.5, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomTileCrop", size=(284, 427), on_box=0.5),
            dict(type="Resize", scale=(512, 512), keep_ratio=False),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="RandomTranspose", prob=0.5),
            dict(type="PhotoMetricDistortion"),
            dict(type="PackDetInputs"),
        ],
    ),
)
# --tta: the rotated view is magnified by 1.8, the maximum in training, to detect more of the smallest tanks
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(
                    type="Compose",
                    transforms=[
                        dict(type="Resize", scale_factor=1.5, keep_ratio=True),
                        dict(type="RandomFlip", prob=0.0, direction="diagonal"),
                    ],
                ),
                dict(
                    type="Compose",
                    transforms=[
                        dict(type="Resize", scale_factor=1.8, keep_ratio=True),
                        dict(type="RandomFlip", prob=1.0, direction="diagonal"),
                    ],
                ),
            ],
            [dict(type="LoadAnnotations", with_bbox=True)],
            [
                dict(
                    type="PackDetInputs",
                    meta_keys=(
                        *("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
                        *("flip", "flip_direction"),
                    ),
                ),
            ],
        ],
    ),
]

val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
del test_pipeline
