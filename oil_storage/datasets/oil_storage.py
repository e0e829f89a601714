"""The oil storage data set as the Runner sees it."""

import json
import os
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from oil_storage.errors import UserError


@DATASETS.register_module()
class OilStorageDataset(CocoDataset):
    """Tiles of satellite scenes with boxes around oil storage tanks.

    Data sheet of the Airbus Oil Storage Detection data set, for which this was made; any data set in the same layout,
    the synthetic one included, is read the same way.

    * Imagery: SPOT 6/7, optical, three bands, JPEG, 1.2 to 1.5 m per pixel
    * Scenes: 98 of 2560 x 2560 px as published
    * Boxes: 13,592, drawn by hand, axis-aligned; one class, ``oil-storage-tank``
    * Size: median box side 18 px, 77 % COCO-small, 5 boxes COCO-large
    * Density: 14 / 99.5 / 893 boxes a scene (min / median / max)
    * Licence: CC BY-NC-SA 4.0
    * Source: Airbus DS Intelligence,
      https://www.kaggle.com/datasets/airbusgeo/airbus-oil-storage-detection-dataset

    The prepared folder is made by ``tools/prepare_dataset.py``; its manifest must hold the tile set that is asked for.

    Args:
        data_root: the prepared folder.
        split: ``train``, ``val`` or ``test``.
        tile: tile side, pixels.
        overlap: pixels shared by neighbouring tiles.
        **kwargs: of :class:`mmdet.datasets.CocoDataset`.

    Raises:
        UserError: no prepared folder, no such tile set, or an image that the annotations name is not there.
    """

    METAINFO = {
        "classes": ("oil-storage-tank",),
        "palette": [(255, 64, 64)],
        # most boxes in one tile of this side (overlap 64) in the published scenes: detectors must return as many
        "densest": {640: 213, 1024: 283},
    }

    def __init__(self, data_root: str, split: str, tile: int, overlap: int, **kwargs: Any) -> None:
        tiles = f"{tile}_{overlap}"
        check_prepared(Path(data_root), tiles)
        folder = f"tiles/{tiles}"
        super().__init__(
            data_root=data_root,
            ann_file=f"{folder}/{split}.json",
            data_prefix={"img": f"{folder}/{split}/"},
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotations and see that every image is there."""
        data_list: list[dict[str, Any]] = super().load_data_list()
        folder = self.data_prefix["img"]
        there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        missing = [info["img_path"] for info in data_list if os.path.basename(info["img_path"]) not in there]
        if missing:
            raise UserError(
                f"{missing[0]}: missing, though {self.ann_file} names it ({len(missing)} of {len(data_list)} are); "
                f"delete {self.data_root} and prepare it again"
            )
        return data_list


def check_prepared(data_root: Path, tiles: str) -> None:
    """Raise a :class:`UserError` unless ``data_root`` is a prepared folder that holds the tile set ``tiles``."""
    tile, overlap = tiles.split("_")
    remedy = f"run: python tools/prepare_dataset.py SOURCE {data_root} --tile {tile} --overlap {overlap}"
    manifest = data_root / "manifest.json"
    if not manifest.is_file():
        raise UserError(f"{data_root}: no prepared data (OIL_STORAGE_DATA names another folder);\n{remedy}")
    try:
        there = json.loads(manifest.read_text(encoding="utf-8"))["tiles"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{manifest}: not a manifest ({error}); delete {data_root} and prepare it again") from error
    if tiles not in there:
        raise UserError(
            f"{manifest}: has tiles of {', '.join(sorted(there)) or 'no geometry'} (size_overlap), "
            f"the config wants {tiles};\n{remedy}"
        )
