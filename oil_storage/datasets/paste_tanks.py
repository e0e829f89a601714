"""Copies of tanks in places where there is none."""

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from numpy.typing import NDArray

AROUND = 0.3
"""Of a tank's side: ground around it that goes with it, its shadow in it; the blend fades there."""
SMALLEST = 5
"""Pixels: of smaller tanks a copy shows too little."""
TRIES = 4
"""Places that are tried for one tank."""


@TRANSFORMS.register_module()
class PasteTanks(BaseTransform):
    """Paste tanks of other images into free places of this one, turned by quarters at random.

    Reads and changes ``img`` ``(H, W, 3)``, ``gt_bboxes`` ``(N, 4)`` xyxy pixels, ``gt_bboxes_labels`` and
    ``gt_ignore_flags`` ``(N,)``; reads the same of ``mix_results``, which ``MultiImageMixDataset`` brings.

    Args:
        most: tanks to paste, drawn evenly from 0 on; fewer where there is no place.
        images: others that they are taken from.
    """

    def __init__(self, most: int, images: int = 2) -> None:
        self.most, self.images = most, images

    def get_indexes(self, dataset: Sized) -> list[int]:
        """The images that ``MultiImageMixDataset`` is to bring."""
        return [int(index) for index in np.random.randint(len(dataset), size=self.images)]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Paste; an image stays as it is where the others show no tank."""
        others = results["mix_results"]
        tanks = [(one["img"], box) for one in others for box in one["gt_bboxes"].numpy()]
        patches = [patch for image, box in tanks if (patch := Patch.of(image, box)) is not None]
        image, boxes = results["img"].copy(), results["gt_bboxes"].numpy().astype(np.float32)
        present = len(boxes)
        for _ in range(np.random.randint(self.most + 1) if patches else 0):
            patch = patches[np.random.randint(len(patches))]
            for _ in range(np.random.randint(4)):
                patch = patch.turned()
            if (place := _free_place(image, boxes, patch)) is not None:
                patch.blend_into(image, *place)
                boxes = np.concatenate([boxes, patch.box[None] + np.array([*place, *place], np.float32)])
        if added := len(boxes) - present:
            results["img"], results["gt_bboxes"] = image, HorizontalBoxes(boxes)
            for key, value in (("gt_bboxes_labels", 0), ("gt_ignore_flags", False)):
                results[key] = np.append(results[key], np.full(added, value, results[key].dtype))
        return results


@dataclass(frozen=True)
class Patch:
    """A tank with the ground around it.

    Attributes:
        pixels: ``(H, W, 3)``.
        margin: width of the ground, pixels.
        box: ``(4,)`` xyxy, pixels of the patch.
    """

    pixels: NDArray[np.uint8]
    margin: int
    box: NDArray[np.float32]

    @classmethod
    def of(cls, image: NDArray[np.uint8], box: NDArray[np.float32]) -> "Patch | None":
        """Cut one out; None where the tank is too small, or the image ends too near to it."""
        (left, top), (right, bottom) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        margin = max(2, round(AROUND * max(right - left, bottom - top)))
        x1, y1, x2, y2 = left - margin, top - margin, right + margin, bottom + margin
        if min(x1, y1) < 0 or x2 > image.shape[1] or y2 > image.shape[0] or min(box[2:] - box[:2]) < SMALLEST:
            return None
        return cls(image[y1:y2, x1:x2], margin, box - np.array([x1, y1, x1, y1], np.float32))

    def turned(self) -> "Patch":
        """The same by 90 degrees counter-clockwise."""
        x1, y1, x2, y2 = self.box
        width = self.pixels.shape[1]
        return Patch(np.rot90(self.pixels), self.margin, np.array([y1, width - x2, y2, width - x1], np.float32))

    def blend_into(self, image: NDArray[np.uint8], x: int, y: int) -> None:
        """Lay the patch over an image, its corner at ``(x, y)``: whole over the tank, fading in the margin."""
        height, width = self.pixels.shape[:2]
        alpha = np.zeros((height, width), np.float32)
        inner = slice(self.margin // 2, -(self.margin // 2))
        alpha[inner, inner] = 1
        alpha = cv2.blur(alpha, (self.margin, self.margin))[..., None].astype(np.float32)
        place = image[y : y + height, x : x + width]
        place[:] = np.rint(alpha * self.pixels + (1 - alpha) * place).astype(np.uint8)


def _free_place(image: NDArray[np.uint8], boxes: NDArray[np.float32], patch: Patch) -> tuple[int, int] | None:
    """Corner where a patch covers no box, or None where none was found."""
    height, width = patch.pixels.shape[:2]
    if height >= image.shape[0] or width >= image.shape[1]:
        return None
    for _ in range(TRIES):
        x, y = np.random.randint((image.shape[1] - width, image.shape[0] - height)).tolist()
        covered = (boxes[:, :2] < (x + width, y + height)).all(axis=1) & (boxes[:, 2:] > (x, y)).all(axis=1)
        if not covered.any():
            return x, y
    return None
