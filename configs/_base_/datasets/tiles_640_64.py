"""Tiles of 640 px at native scale, overlapping by 64 px; 512 px crops and the 8 symmetries in training."""

data_root = "{{$OIL_STORAGE_DATA:data/oil_storage}}"

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="SeededSampler"),
    dataset=dict(
        type="OilStorageDataset",
        data_root=data_root,
        split="train",
        tile=640,
        overlap=64,
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
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="OilStorageDataset",
        data_root=data_root,
        split="val",
        tile=640,
        overlap=64,
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale_factor=1.0, keep_ratio=True),  # native scale, written where mmdet looks for it
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="OilStorageDataset",
        data_root=data_root,
        split="test",
        tile=640,
        overlap=64,
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale_factor=1.0, keep_ratio=True),  # native scale, written where mmdet looks for it
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ],
    ),
)

val_evaluator = dict(type="DenseCocoMetric", ann_file=data_root + "/tiles/640_64/val.json")
test_evaluator = dict(type="DenseCocoMetric", ann_file=data_root + "/tiles/640_64/test.json")
