"""Variant of ``tiles_640_64_x15.py`` for 0.3 to 3 m per pixel: varied magnification, coarsening and tank-free images.

The tank-free images are from the UC Merced land-use data set, https://doi.org/10.1145/1869790.1869829. The class
``storagetanks`` is left out. Training uses the images 00 to 14 of each class; the others are for testing.
"""

_base_ = ["tiles_640_64_x15.py"]

classes = [
    *("agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential", "forest"),
    *("freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark", "overpass"),
    *("parkinglot", "river", "runway", "sparseresidential", "tenniscourt"),
]

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomTileCrop", size=(240, 512), on_box=0.5),
            dict(type="RandomCoarsening", prob=0.3, factor=2.5),
            dict(type="Resize", scale=(512, 512), keep_ratio=False),
            dict(
                type="RandomBackground",
                data_root="{{$OIL_STORAGE_BACKGROUNDS:data/usgs-land-use}}",
                patterns=[f"{name}/*{number}.*" for name in classes for number in ("0[0-9]", "1[0-4]")],
                prob=0.2,
                scale=(0.2, 1.2),
            ),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="RandomTranspose", prob=0.5),
            dict(type="PhotoMetricDistortion"),
            dict(type="PackDetInputs"),
        ],
    ),
)
del classes
