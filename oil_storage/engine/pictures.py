"""Draw detections and ground truth side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from numpy.typing import NDArray

from oil_storage.coco import CocoFile
from oil_storage.drawing import jpeg, side_by_side
from oil_storage.files import write_bytes
from oil_storage.imagery import read_pixels

MIN_SCORE = 0.3
"""Score threshold of pictures if the detector has no threshold yet."""


def write_pictures(
    folder: Path, tiles: CocoFile, tile_folder: Path, detections: Sequence[Mapping[str, Any]], threshold: float | None
) -> None:
    """Write a JPEG file for every tile, with ground truth on the left and detections on the right.

    Args:
        folder: existing folder.
        tiles: tiles and their labelled boxes.
        tile_folder: folder with the images of the tiles.
        detections: COCO results of the tiles.
        threshold: score threshold; None means :data:`MIN_SCORE`.
    """
    threshold = MIN_SCORE if threshold is None else threshold
    boxes: dict[Any, tuple[list[Any], list[Any]]] = {tile.id: ([], []) for tile in tiles.images}
    for annotation in tiles.annotations:
        boxes[annotation.image_id][0].append(annotation.box)
    for result in detections:
        if result["score"] >= threshold:
            x, y, width, height = result["bbox"]
            boxes[result["image_id"]][1].append((x, y, x + width, y + height))
    for tile in tiles.images:
        truth, predictions = (np.array(side, np.float32).reshape(-1, 4) for side in boxes[tile.id])
        picture = side_by_side(read_pixels(tile_folder / tile.file_name), truth, predictions, threshold)
        write_bytes(folder / f"{Path(tile.file_name).stem}.jpg", jpeg(picture, quality=92))


@HOOKS.register_module()
class ValidationPictureHook(Hook):
    """Hook that logs pictures of a few tiles at each validation (in TensorBoard: Images).

    Args:
        tiles: number of tiles.
    """

    def __init__(self, tiles: int = 4) -> None:
        self.tiles = tiles
        self.truth: dict[Any, NDArray[np.float32]] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        """At the first validation, sort the tiles with boxes by number of boxes, and choose evenly spaced tiles."""
        if self.truth:
            return
        dataset = runner.val_dataloader.dataset
        # only rank 0 draws pictures, and it gets every world_size-th sample
        infos = map(dataset.get_data_info, range(0, len(dataset), get_world_size()))
        truth = {
            info["img_id"]: np.array([instance["bbox"] for instance in info["instances"]], np.float32)
            for info in infos
            if info["instances"]
        }
        densest_first = sorted(truth, key=lambda image: -len(truth[image]))
        number = len(densest_first)
        ranks = np.linspace(0, number - 1, min(self.tiles, number)).round().astype(int)
        self.truth = {image: truth[image] for image in (densest_first[rank] for rank in ranks)}

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DetDataSample] | None = None
    ) -> None:
        """Draw the chosen tiles of this batch."""
        for sample in outputs or ():
            if sample.img_id in self.truth:
                predictions = sample.pred_instances[sample.pred_instances.scores >= MIN_SCORE]
                detections = predictions.bboxes.float().cpu().numpy()
                picture = side_by_side(
                    read_pixels(Path(sample.img_path)), self.truth[sample.img_id], detections, MIN_SCORE
                )
                runner.visualizer.add_image(f"val_{Path(sample.img_path).stem}", picture, runner.iter)
