"""Pictures of predictions beside ground truth."""

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

from oil_storage.errors import UserError

TRUTH = (80, 220, 100)
PREDICTION = (255, 64, 64)


MAGNIFIED = 2
"""Pixels of a picture by those of its tile: a line around a tank of 5 px leaves the tank to be seen."""
LINE = 16
"""Height of a line of text, pixels."""


def draw_boxes(canvas: NDArray[np.uint8], boxes: NDArray[np.float32], colour: Sequence[int]) -> None:
    """Draw boxes on ``canvas``, 1 px wide, on the outermost pixels that are theirs.

    Args:
        canvas: ``(H, W, 3)``, changed in place.
        boxes: ``(N, 4)`` xyxy, pixels of the canvas counted as edges; what is not finite, as a detector's may be at
            the beginning of its training, is left out.
        colour: in the canvas's order of channels.
    """
    limits = np.tile(canvas.shape[1::-1], 2) + 1  # OpenCV fails on coordinates that are very far out
    for x1, y1, x2, y2 in np.clip(boxes[np.isfinite(boxes).all(axis=1)], -1, limits).round().astype(int).tolist():
        cv2.rectangle(canvas, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), colour, 1)


def title(text: str, width: int) -> NDArray[np.uint8]:
    """White on black, shrunk where it is too long: ``(16, width, 3)``."""
    band = np.zeros((LINE, width, 3), np.uint8)
    (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_PLAIN, 1, 1)
    fitting = min(1.0, (width - 8) / length)
    cv2.putText(band, text, (4, LINE - 4), cv2.FONT_HERSHEY_PLAIN, fitting, (255, 255, 255), 1, cv2.LINE_AA)
    return band


def side_by_side(
    image: NDArray[np.uint8], truth: NDArray[np.float32], predictions: NDArray[np.float32], score_threshold: float
) -> NDArray[np.uint8]:
    """Draw ground truth (left) beside predictions (right), each below a title with their number, magnified.

    Args:
        image: RGB ``(H, W, 3)``.
        truth: ``(N, 4)`` xyxy pixels.
        predictions: ``(M, 4)`` xyxy pixels, of scores above the threshold.
        score_threshold: said in the title.

    Returns:
        RGB ``(16 + 2 * H, 4 * W + 4, 3)``, a white line between the halves.
    """
    height, width = (MAGNIFIED * side for side in image.shape[:2])
    halves = []
    for words, boxes, colour in (
        (f"ground truth: {len(truth)}", truth, TRUTH),
        (f"predicted with a score above {score_threshold:g}: {len(predictions)}", predictions, PREDICTION),
    ):
        canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        draw_boxes(canvas, boxes * MAGNIFIED, colour)
        halves.append(np.concatenate([title(words, width), canvas]))
    line = np.full((LINE + height, 4, 3), 255, np.uint8)
    return np.concatenate([halves[0], line, halves[1]], axis=1)


def _picture(dataset: Any, index: int, sample: DetDataSample, score_threshold: float) -> NDArray[np.uint8]:
    """Draw a predicted sample; the ground truth is the data set's, in pixels of the image as stored."""
    image = cv2.cvtColor(cv2.imread(sample.img_path), cv2.COLOR_BGR2RGB).astype(np.uint8)
    truth = np.array([box["bbox"] for box in dataset.get_data_info(index)["instances"]], np.float32).reshape(-1, 4)
    predictions = sample.pred_instances[sample.pred_instances.scores > score_threshold]
    return side_by_side(image, truth, predictions.bboxes.float().cpu().numpy(), score_threshold)


@HOOKS.register_module()
class ValidationPictureHook(Hook):
    """Shows the same few validation tiles, from the densest to the sparsest, at each validation (TensorBoard: images).

    Args:
        tiles: how many.
        score_threshold: predictions below it are not drawn.
    """

    def __init__(self, tiles: int = 4, score_threshold: float = 0.3) -> None:
        self.tiles = tiles
        self.score_threshold = score_threshold
        self.chosen: dict[Any, int] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the tiles, once: evenly spaced in the order of their number of boxes, empty ones left out."""
        if self.chosen:
            return
        dataset = runner.val_dataloader.dataset
        # rank 0 alone draws, and sees one sample of world_size
        infos = [(index, dataset.get_data_info(index)) for index in range(0, len(dataset), get_world_size())]
        infos = sorted((i for i in infos if i[1]["instances"]), key=lambda i: -len(i[1]["instances"]))
        places = np.linspace(0, len(infos) - 1, min(self.tiles, len(infos))).round().astype(int)
        self.chosen = {infos[place][1]["img_id"]: infos[place][0] for place in places}

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DetDataSample] | None = None
    ) -> None:
        """Draw the chosen tiles of this batch."""
        for sample in outputs or ():
            if sample.img_id in self.chosen:
                index = self.chosen[sample.img_id]
                picture = _picture(runner.val_dataloader.dataset, index, sample, self.score_threshold)
                runner.visualizer.add_image(f"val_{Path(sample.img_path).stem}", picture, runner.iter)


@HOOKS.register_module()
class PictureFolderHook(Hook):
    """Writes a picture of every tested tile into a folder.

    Args:
        folder: made if absent.
        score_threshold: predictions below it are not drawn.
    """

    def __init__(self, folder: str, score_threshold: float = 0.3) -> None:
        self.folder = Path(folder)
        self.score_threshold = score_threshold
        self.indices: dict[Any, int] = {}

    def before_test(self, runner: Runner) -> None:
        """Find each image's place in the data set."""
        self.folder.mkdir(parents=True, exist_ok=True)
        dataset = runner.test_dataloader.dataset
        self.indices = {dataset.get_data_info(index)["img_id"]: index for index in range(len(dataset))}

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DetDataSample] | None = None
    ) -> None:
        """Write this batch's pictures as JPEG."""
        dataset = runner.test_dataloader.dataset
        for sample in outputs or ():
            picture = _picture(dataset, self.indices[sample.img_id], sample, self.score_threshold)
            path = self.folder / f"{Path(sample.img_path).stem}.jpg"
            if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]):
                raise UserError(f"{path}: could not be written; is the disk full?")
