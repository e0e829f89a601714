"""Tiles of ``tiles_640_64.py``. Training uses mosaics of four tiles, rescaled by 0.75 to 1.5.

On COCO, YOLOX and RTMDet rescale by 0.1 to 2, but most tanks would be too small then.
"""

_base_ = ["tiles_640_64.py"]

train_dataloader = dict(
    sampler=dict(infinite=False),
    dataset=dict(
        _delete_=True,
        type="MultiImageMixDataset",
        dataset=dict(
            _base_.train_dataloader.dataset,
            pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)],
        ),
        pipeline=[
            dict(type="Mosaic", img_scale=(640, 640), pad_val=114.0),
            dict(type="RandomAffine", scaling_ratio_range=(0.75, 1.5), border=(-320, -320)),
            dict(type="YOLOXHSVRandomAug"),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="RandomTranspose", prob=0.5),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(2, 2), keep_empty=False),
            dict(type="PackDetInputs"),
        ],
    ),
)
