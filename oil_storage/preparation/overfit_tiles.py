"""Synthetic tiles with many tanks for the overfitting check of a detector."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oil_storage.files import write_json
from oil_storage.manifest import Choices
from oil_storage.preparation.prepare import prepare
from oil_storage.scene import CLASS_NAME
from oil_storage.synthetic.rendering import render_scene
from oil_storage.tiling import cut_boxes, tile_grid

TILE = 256
COUNT = 8
TANKS = (5, 40)
"""Minimum and maximum number of tanks in a tile."""
SCENE = 1280
NAMES = {"train": [f"tile_{number}" for number in range(COUNT)], "val": ["tile_8"], "test": ["tile_9"]}
"""Scenes of each split; val and test have one scene each, because a split must not be empty."""


def write_overfit_tiles(folder: Path) -> Path:
    """Render scenes, cut tiles from them, and prepare each tile as a separate scene.

    Args:
        folder: output folder; existing files are kept.

    Returns:
        Path: prepared folder whose train split contains :data:`COUNT` tiles of :data:`TILE` px.
    """
    source, prepared, split_file = folder / "scenes", folder / "prepared", folder / "split.json"
    if not split_file.is_file():
        (source / "images").mkdir(parents=True, exist_ok=True)
        rows = []
        for name, (image, boxes) in zip(itertools.chain(*NAMES.values()), _dense_tiles(), strict=False):
            Image.fromarray(image).save(source / "images" / f"{name}.jpg", quality=95, subsampling=0)
            rows += [(name, CLASS_NAME, str(tuple(box))) for box in boxes.round().astype(int).tolist()]
        with (source / "annotations.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("image_id", "class", "bounds"), *rows])
        write_json(split_file, NAMES)
    # allow errors, because boxes of tanks at the border of a tile may seem misplaced
    prepare(source, prepared, TILE, 0, choices=Choices(split_file=split_file, allow=True))
    return prepared


def _dense_tiles() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Yield RGB pixels ``(TILE, TILE, 3)`` and xyxy boxes ``(N, 4)`` of tiles, at most two tiles from each scene."""
    for index in itertools.count():
        image, written = render_scene(0, index, SCENE)
        boxes = np.array(written, np.float32).reshape(-1, 4)
        taken = 0
        for window in tile_grid(SCENE, SCENE, TILE, 0):
            inside, _ = cut_boxes(boxes, window)
            if TANKS[0] <= len(inside) <= TANKS[1] and taken < 2:
                taken += 1
                x, y, right, bottom = window.tolist()
                yield image[y:bottom, x:right], inside
