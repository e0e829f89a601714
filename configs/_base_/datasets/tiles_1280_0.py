"""Tiles of 1280 px without overlap, shrunk to 1024 px, horizontal flip only: as the TensorFlow recipe has it."""

data_root = "{{$OIL_STORAGE_DATA:data/oil_storage}}"

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="SeededSampler"),
    dataset=dict(
        type="OilStorageDataset",
        data_root=data_root,
        split="train",
        tile=1280,
        overlap=0,
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
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="OilStorageDataset",
        data_root=data_root,
        split="val",
        tile=1280,
        overlap=0,
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1024, 1024), keep_ratio=False),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="OilStorageDataset",
        data_root=data_root,
        split="test",
        tile=1280,
        overlap=0,
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(1024, 1024), keep_ratio=False),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)

val_evaluator = dict(type="DenseCocoMetric", ann_file=data_root + "/tiles/1280_0/val.json")
test_evaluator = dict(type="DenseCocoMetric", ann_file=data_root + "/tiles/1280_0/test.json")
