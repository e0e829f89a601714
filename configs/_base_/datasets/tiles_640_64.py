"""Tiles of 640 px that overlap by 64 px; crops of 512 px, flips and rotations by 90 degrees in training."""

tiles = dict(
    type="OilStorageDataset",
    data_root="{{$OIL_STORAGE_DATA:data/oil_storage}}",
    tile=640,
    overlap=64,
)
loader = dict(batch_size=8, num_workers=2, persistent_workers=True)
in_order = dict(type="DefaultSampler", shuffle=False)
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale_factor=1.0, keep_ratio=True),  # native scale; mmdet reads scale_factor from this step
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

train_dataloader = dict(
    **loader,
    sampler=dict(type="SeededSampler"),
    dataset=dict(
        **tiles,
        split="train",
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomTileCrop", size=512),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="RandomTranspose", prob=0.5),
            dict(type="PhotoMetricDistortion"),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    **loader,
    sampler=in_order,
    dataset=dict(**tiles, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    **loader,
    sampler=in_order,
    dataset=dict(**tiles, split="test", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="DenseCocoMetric")
test_evaluator = dict(type="DenseCocoMetric")
del tiles, loader, in_order, test_pipeline
