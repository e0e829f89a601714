"""Hooks that draw detections and ground truth side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from numpy.typing import NDArray

from oil_storage.drawing import jpeg, side_by_side

MIN_SCORE = 0.3
"""Minimum score of the detections in pictures."""


def _truth_by_image(dataset: Any, step: int = 1) -> dict[Any, NDArray[np.float32]]:
    """Return the boxes of every ``step``-th image by image id, ``(N, 4)`` xyxy, pixels of the image file."""
    infos = (dataset.get_data_info(index) for index in range(0, len(dataset), step))
    return {
        info["img_id"]: np.array([instance["bbox"] for instance in info["instances"]], np.float32).reshape(-1, 4)
        for info in infos
    }


def _draw(sample: DetDataSample, truth: NDArray[np.float32]) -> NDArray[np.uint8]:
    image = cv2.cvtColor(cv2.imread(sample.img_path), cv2.COLOR_BGR2RGB).astype(np.uint8)
    predictions = sample.pred_instances[sample.pred_instances.scores > MIN_SCORE]
    return side_by_side(image, truth, predictions.bboxes.float().cpu().numpy(), MIN_SCORE)


@HOOKS.register_module()
class ValidationPictureHook(Hook):
    """Hook that logs pictures of a few tiles, from dense to sparse ones, at each validation (TensorBoard: images).

    Args:
        tiles: number of tiles.
    """

    def __init__(self, tiles: int = 4) -> None:
        self.tiles = tiles
        self.truth: dict[Any, NDArray[np.float32]] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the tiles once, evenly spaced in the order of their number of boxes. Empty tiles are excluded."""
        if self.truth:
            return
        # only rank 0 draws, and it receives every world_size-th sample
        truth = _truth_by_image(runner.val_dataloader.dataset, step=get_world_size())
        densest_first = sorted((image for image in truth if len(truth[image])), key=lambda image: -len(truth[image]))
        number = len(densest_first)
        ranks = np.linspace(0, number - 1, min(self.tiles, number)).round().astype(int)
        self.truth = {image: truth[image] for image in (densest_first[rank] for rank in ranks)}

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DetDataSample] | None = None
    ) -> None:
        """Draw the chosen tiles of this batch."""
        for sample in outputs or ():
            if sample.img_id in self.truth:
                picture = _draw(sample, self.truth[sample.img_id])
                runner.visualizer.add_image(f"val_{Path(sample.img_path).stem}", picture, runner.iter)


@HOOKS.register_module()
class PictureFolderHook(Hook):
    """Hook that writes a picture of every test tile to a folder, which is created if it does not exist."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.truth: dict[Any, NDArray[np.float32]] = {}

    def before_test(self, runner: Runner) -> None:
        """Create the folder and read the ground truth."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.truth = _truth_by_image(runner.test_dataloader.dataset)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DetDataSample] | None = None
    ) -> None:
        """Write the pictures of this batch as JPEG files."""
        for sample in outputs or ():
            path = self.folder / f"{Path(sample.img_path).stem}.jpg"
            path.write_bytes(jpeg(_draw(sample, self.truth[sample.img_id]), quality=92))
