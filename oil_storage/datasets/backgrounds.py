"""Images without tanks, from which a detector learns to avoid false positives."""

from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.files import visible

Range = tuple[float, float]


@TRANSFORMS.register_module()
class RandomBackground(BaseTransform):
    """Replace random samples by mosaics of tank-free images at a random magnification.

    The mosaic has the size of the sample. The range of magnifications can be wide, because the images contain no tanks.

    Reads and changes ``img`` ``(H, W, 3)``; empties ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags``.

    Args:
        data_root: folder of the images.
        patterns: glob patterns of the images in ``data_root``.
        prob: probability that a sample is replaced.
        scale: minimum and maximum magnification; it is drawn log-uniformly.

    Raises:
        UserError: no image matches, or an image cannot be decoded.
    """

    def __init__(self, data_root: str, patterns: tuple[str, ...], prob: float, scale: Range) -> None:
        self.data_root, self.patterns, self.prob, self.scale = Path(data_root), patterns, prob, scale
        self.files = visible(self.data_root, *patterns)
        if prob and not self.files:
            count = f"{patterns[0]} or {len(patterns) - 1} other patterns"
            raise UserError(
                f"{data_root}: no image matches {count}; set OIL_STORAGE_BACKGROUNDS to a folder of tank-free images"
            )

    @cached_property
    def images(self) -> list[NDArray[np.uint8]]:
        """Decoded images, ``(H, W, 3)`` BGR."""
        decoded = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in self.files]
        for path, image in zip(self.files, decoded, strict=True):
            if image is None:
                raise UserError(f"{path}: cannot be decoded as an image; remove it, or copy it again")
        return [np.asarray(image, np.uint8) for image in decoded]

    @cache_randomness
    def _is_replaced(self) -> bool:
        return bool(np.random.rand() < self.prob)

    @cache_randomness
    def _mosaic(self, height: int, width: int) -> NDArray[np.uint8]:
        scale = float(np.exp(np.random.uniform(*np.log(self.scale))))
        rows: list[NDArray[np.uint8]] = []
        while sum(len(row) for row in rows) < height:
            row: list[NDArray[np.uint8]] = []
            while sum(image.shape[1] for image in row) < width:
                row.append(_resized(self.images[np.random.randint(len(self.images))], scale))
            least = min(len(image) for image in row)
            rows.append(np.hstack([image[:least] for image in row])[:, :width])
        return np.vstack(rows)[:height]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """With probability ``prob``, replace the image by a mosaic, and remove all boxes."""
        if self._is_replaced():
            results["img"] = self._mosaic(*results["img"].shape[:2])
            results["gt_bboxes"] = HorizontalBoxes(np.zeros((0, 4), np.float32))
            for key in ("gt_bboxes_labels", "gt_ignore_flags"):
                results[key] = results[key][:0]
        return results


def _resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    interpolation = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
