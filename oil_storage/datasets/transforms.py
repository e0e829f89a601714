"""Random transforms of tiles for training."""

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from numpy.typing import NDArray

from oil_storage.tiling import cut_boxes


@TRANSFORMS.register_module()
class RandomTranspose(BaseTransform):
    """Swap x and y at random; together with horizontal and vertical ``RandomFlip``, this gives all 8 symmetries.

    Reads and changes ``img`` ``(H, W, 3)``, ``img_shape`` ``(H, W)`` and ``gt_bboxes`` ``(N, 4)`` xyxy pixels.

    Args:
        prob: probability of the transposition.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    @cache_randomness
    def _is_transposed(self) -> bool:
        return bool(np.random.rand() < self.prob)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Transpose image and boxes with probability ``prob``."""
        if self._is_transposed():
            results["img"] = np.ascontiguousarray(results["img"].transpose(1, 0, 2))
            results["img_shape"] = results["img"].shape[:2]
            if "gt_bboxes" in results:
                results["gt_bboxes"] = HorizontalBoxes(results["gt_bboxes"].tensor[:, [1, 0, 3, 2]])
        return results


@TRANSFORMS.register_module()
class RandomTileCrop(BaseTransform):
    """Crop a random square; boxes are clipped and dropped in the same way as for tiles.

    ``RandomCrop`` of mmdet keeps a box even if only one pixel column of it remains. The detector would learn to detect
    fragments that are not in the ground truth of tiles. This class uses :func:`oil_storage.tiling.cut_boxes`.

    Reads and changes ``img`` ``(H, W, 3)``, ``img_shape``, ``gt_bboxes`` ``(N, 4)`` xyxy pixels, ``gt_bboxes_labels``
    and ``gt_ignore_flags`` ``(N,)``. A side of the image that is shorter than the crop is not cropped.

    Args:
        size: side of the crop in pixels, or the minimum and maximum of a uniform distribution.
        on_box: probability that the crop contains the centre of a box chosen at random.

    Raises:
        ValueError: a size is not positive, or the maximum is below the minimum.
    """

    def __init__(self, size: int | tuple[int, int], on_box: float = 0.0) -> None:
        self.smallest, self.largest = (size, size) if isinstance(size, int) else size
        if not 0 < self.smallest <= self.largest:
            raise ValueError(f"size={size}: must be positive, with the minimum first")
        self.on_box = on_box

    @cache_randomness
    def _side(self) -> int:
        return int(np.random.randint(self.smallest, self.largest + 1)) if self.smallest < self.largest else self.largest

    @cache_randomness
    def _corner(self, free: tuple[int, int], side: int, boxes: NDArray[np.float32]) -> tuple[int, int]:
        least, most = np.zeros(2, dtype=int), np.array(free)
        if self.on_box and len(boxes) and np.random.rand() < self.on_box:
            box = boxes[np.random.randint(len(boxes))]
            centre = ((box[:2] + box[2:]) / 2).astype(int)
            least, most = np.clip(centre - side + 1, 0, most), np.clip(centre, 0, most)
        x, y = np.random.randint(least, most + 1)
        return int(x), int(y)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop image and boxes."""
        height, width = results["img"].shape[:2]
        side = self._side()
        crop_width, crop_height = min(side, width), min(side, height)
        boxes = results["gt_bboxes"].numpy() if "gt_bboxes" in results else np.zeros((0, 4), np.float32)
        x, y = self._corner((width - crop_width, height - crop_height), side, boxes)
        window = np.array([x, y, x + crop_width, y + crop_height])
        results["img"] = results["img"][y : y + crop_height, x : x + crop_width]
        results["img_shape"] = results["img"].shape[:2]
        if "gt_bboxes" in results:
            boxes, indices = cut_boxes(boxes, window)
            results["gt_bboxes"] = HorizontalBoxes(boxes)
            for key in ("gt_bboxes_labels", "gt_ignore_flags"):
                results[key] = results[key][indices]
        return results


@TRANSFORMS.register_module()
class RandomCoarsening(BaseTransform):
    """Shrink random images and enlarge them again, to imitate a sensor with a coarser resolution.

    Reads and changes ``img`` ``(H, W, 3)``; its size does not change.

    Args:
        prob: probability that the image is coarsened.
        factor: maximum factor by which an image is shrunk. The factor is drawn log-uniformly from 1 to this maximum.
    """

    def __init__(self, prob: float, factor: float) -> None:
        self.prob, self.factor = prob, factor

    @cache_randomness
    def _factor(self) -> float:
        return float(self.factor ** np.random.rand()) if np.random.rand() < self.prob else 1.0

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Coarsen the image, or leave it unchanged."""
        if (factor := self._factor()) > 1:
            image = results["img"]
            height, width = image.shape[:2]
            small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
            results["img"] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return results
