"""Oil storage data set for the Runner of mmengine."""

import io
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from oil_storage.errors import UserError
from oil_storage.manifest import NAME, Manifest, check_no_leak
from oil_storage.scene import CLASS_NAME

ENDINGS = {".jpg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
"""Last bytes of an intact image file, for each file suffix."""
AGAIN = "delete the prepared folder and prepare it again"


@DATASETS.register_module()
class OilStorageDataset(CocoDataset):
    """Tiles of satellite scenes with boxes around oil storage tanks.

    The class reads any prepared data set. The main data set is the Airbus Oil Storage Detection data set:

    * Imagery: SPOT 6/7, optical, three bands, JPEG, 1.2 to 1.5 m per pixel
    * Scenes: 98 of 2560 x 2560 px as published
    * Boxes: 13,592, annotated by hand, axis-aligned; one class, ``oil-storage-tank``
    * Size: median box side 18 px; by COCO's definition, 77 % of the boxes are small and 5 boxes are large
    * Density: 14 / 99.5 / 893 boxes per scene (min / median / max)
    * Licence: CC BY-NC-SA 4.0
    * Source: Airbus DS Intelligence,
      https://www.kaggle.com/datasets/airbusgeo/airbus-oil-storage-detection-dataset

    ``tools/prepare_dataset.py`` creates the prepared folder. ``metainfo["ground_truth"]`` contains the paths of the
    COCO JSON files of the tiles and the scenes. The metrics read their ground truth from these files.

    Args:
        data_root: prepared folder.
        split: ``train``, ``val`` or ``test``.
        tile: side of a tile, in pixels.
        overlap: overlap between adjacent tiles, in pixels.
        scenes_fraction: fraction of the scenes to use; see :func:`some_scenes`.
        **kwargs: arguments of :class:`mmdet.datasets.CocoDataset`.

    Raises:
        UserError: the folder or the tile set does not exist, the annotations are damaged or contain no box, an image is
            missing or damaged, or ``scenes_fraction`` is not in (0, 1].
    """

    METAINFO = {
        "classes": (CLASS_NAME,),
        "palette": [(255, 64, 64)],
        # maximum number of boxes per tile of this size (overlap 64) in the Airbus scenes; detectors must return as many
        "densest": {640: 213, 1024: 283},
    }

    def __init__(
        self, data_root: str, split: str, tile: int, overlap: int, scenes_fraction: float = 1.0, **kwargs: Any
    ) -> None:
        if not 0 < scenes_fraction <= 1:
            raise UserError(f"scenes_fraction={scenes_fraction}: must be above 0 and at most 1")
        self.scenes_fraction = scenes_fraction
        check_prepared(Path(data_root), f"{tile}_{overlap}")
        folder = Path(data_root, "tiles", f"{tile}_{overlap}")
        ann_file, scenes = str(folder / f"{split}.json"), str(Path(data_root, "scenes", f"{split}.json"))
        super().__init__(
            ann_file=ann_file,
            data_prefix={"img": f"{folder / split}/"},
            metainfo={"ground_truth": {"tiles": ann_file, "scenes": scenes}},
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotations and check that every image is intact."""
        try:
            with redirect_stdout(io.StringIO()):  # pycocotools prints messages
                data_list: list[dict[str, Any]] = super().load_data_list()
        except (AssertionError, AttributeError, FileNotFoundError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(f"{self.ann_file}: missing or damaged annotations ({reason});\n{AGAIN}") from error
        if not any(info["instances"] for info in data_list):
            raise UserError(
                f"{self.ann_file}: no boxes of class {', '.join(self.metainfo['classes'])} in {len(data_list)} tiles; "
                "prepare the data again so that each split has scenes with boxes"
            )
        if damaged := [info["img_path"] for info in data_list if not _is_whole(info["img_path"])]:
            fault = "damaged" if os.path.isfile(damaged[0]) else "missing"
            raise UserError(f"{damaged[0]}: {fault} ({len(damaged)} of {len(data_list)} images);\n{AGAIN}")
        boxes: Counter[str] = Counter()
        for info in data_list:
            boxes[_scene_of(info)] += len(info["instances"])
        scenes = some_scenes(boxes, self.scenes_fraction)
        return [info for info in data_list if _scene_of(info) in scenes]


def some_scenes(boxes: Mapping[str, int], fraction: float) -> set[str]:
    """Choose a fraction of the scenes, at least one, at equal distances in the order of their number of boxes.

    Sparse and dense scenes are therefore as frequent as in all scenes. The choice does not depend on a seed.

    Args:
        boxes: number of boxes of each scene.
        fraction: in (0, 1]; 1 chooses all scenes.
    """
    ordered = sorted(boxes, key=lambda scene: (boxes[scene], scene))
    number = max(1, round(fraction * len(ordered)))
    return {ordered[int((index + 0.5) * len(ordered) / number)] for index in range(number)}


def _scene_of(info: Mapping[str, Any]) -> str:
    """Return the scene of a tile, whose file name is ``<scene>_<x>_<y>`` and a suffix."""
    return Path(info["img_path"]).stem.rsplit("_", 2)[0]


def check_prepared(data_root: Path, tiles: str) -> None:
    """Check that a prepared folder contains a tile set, such as ``640_64``.

    Raises:
        UserError: the folder is not prepared, has no such tile set, or scenes of two splits show the same ground.
    """
    tile, overlap = tiles.split("_")
    remedy = f"run: python tools/prepare_dataset.py SOURCE {data_root} --tile {tile} --overlap {overlap}"
    path = data_root / NAME
    if not path.is_file():
        raise UserError(f"{data_root}: no prepared data (set OIL_STORAGE_DATA to use another folder);\n{remedy}")
    manifest = Manifest.load(data_root)
    if tiles not in manifest.tiles:
        present = ", ".join(sorted(manifest.tiles)) or "none"
        raise UserError(
            f"{path}: no tiles of {tile} px with {overlap} px overlap; tiles in the folder (size_overlap): {present};\n"
            f"{remedy}"
        )
    split_of = {scene: split for split, scenes in manifest.split.items() for scene in scenes}
    check_no_leak(split_of, [pair.scenes for pair in manifest.same_ground], path)


def _is_whole(image: str) -> bool:
    """Return whether an image file ends with the end marker of its format. Truncated files would stop the training."""
    ending = ENDINGS.get(os.path.splitext(image)[1], b"")
    try:
        with open(image, "rb") as file:
            file.seek(-len(ending), os.SEEK_END)
            return file.read() == ending
    except OSError:  # missing, or shorter than the ending
        return False
