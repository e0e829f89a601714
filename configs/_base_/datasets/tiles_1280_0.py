"""Tiles of 1280 px without overlap, resized to 1024 px, with horizontal flips: the setup of the TensorFlow recipe."""

tiles = dict(
    type="OilStorageDataset",
    data_root="{{$OIL_STORAGE_DATA:data/oil_storage}}",
    tile=1280,
    overlap=0,
)
loader = dict(num_workers=2, persistent_workers=True)
in_order = dict(type="DefaultSampler", shuffle=False)
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(1024, 1024), keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

train_dataloader = dict(
    **loader,
    batch_size=4,
    sampler=dict(type="SeededSampler"),
    dataset=dict(
        **tiles,
        split="train",
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="Resize", scale=(1024, 1024), keep_ratio=False),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    **loader,
    batch_size=1,
    sampler=in_order,
    dataset=dict(**tiles, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    **loader,
    batch_size=1,
    sampler=in_order,
    dataset=dict(**tiles, split="test", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="DenseCocoMetric")
test_evaluator = dict(type="DenseCocoMetric")
del tiles, loader, in_order, test_pipeline
