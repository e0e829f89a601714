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

MARGIN = 0.3
"""Of a tank's longer side: ground around it that goes with it, its shadow in it; the blend fades there."""
SMALLEST = 5
"""Pixels: of smaller tanks a copy shows too little."""
TRIES = 4
"""Places that are tried for one tank."""


@TRANSFORMS.register_module()
class PasteTanks(BaseTransform):
    """Paste tanks that stand alone in images drawn at random into free places of this one, turned by quarters.

    Reads and changes ``img`` ``(H, W, 3)``, ``gt_bboxes`` ``(N, 4)`` xyxy pixels, ``gt_bboxes_labels`` and
    ``gt_ignore_flags`` ``(N,)``; reads ``img`` and ``gt_bboxes`` of ``mix_results``, which ``MultiImageMixDataset``
    brings. What is pasted has label 0, the tank, and is not ignored.

    Args:
        most: tanks to paste, drawn evenly from 0 on; fewer where there is no place.
        images: that they are taken from.
    """

    def __init__(self, most: int, images: int = 2) -> None:
        self.most, self.images = most, images

    def get_indexes(self, dataset: Sized) -> list[int]:
        """Indices of the images that ``MultiImageMixDataset`` is to bring; the image itself may be one."""
        return [int(index) for index in np.random.randint(len(dataset), size=self.images)]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Paste; an image stays as it is where the others show no tank."""
        others = results["mix_results"]
        patches = [patch for one in others for patch in cut_alone(one["img"], one["gt_bboxes"].numpy())]
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

    def turned(self) -> "Patch":
        """The same by 90 degrees counter-clockwise."""
        x1, y1, x2, y2 = self.box
        width = self.pixels.shape[1]
        return Patch(np.rot90(self.pixels), self.margin, np.array([y1, width - x2, y2, width - x1], np.float32))

    def blend_into(self, image: NDArray[np.uint8], x: int, y: int) -> None:
        """Lay the patch over an image, its corner at ``(x, y)``: whole over the tank, fading in the margin."""
        height, width = self.pixels.shape[:2]
        before, behind = -(-self.margin // 2), self.margin // 2 + 1  # so that blurring leaves nothing at the rim
        alpha = np.zeros((height, width), np.float32)
        alpha[before : height - behind, before : width - behind] = 1
        faded = cv2.blur(alpha, (self.margin, self.margin), borderType=cv2.BORDER_CONSTANT)[..., None]
        place = image[y : y + height, x : x + width]
        place[:] = np.rint(faded * self.pixels + (1 - faded) * place).astype(np.uint8)


def cut_alone(image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> list[Patch]:
    """Tanks with the ground around them, where the image shows all of it and no other box reaches into it.

    Args:
        image: ``(H, W, 3)``.
        boxes: ``(N, 4)`` xyxy, pixels.
    """
    low, high = np.floor(boxes[:, :2]).astype(int), np.ceil(boxes[:, 2:]).astype(int)
    margins = np.maximum(2, np.rint(MARGIN * (high - low).max(axis=1, initial=0))).astype(int)
    patches = []
    for box, margin, (x1, y1), (x2, y2) in zip(
        boxes, margins.tolist(), (low - margins[:, None]).tolist(), (high + margins[:, None]).tolist(), strict=True
    ):
        shown = min(x1, y1) >= 0 and x2 <= image.shape[1] and y2 <= image.shape[0]
        if shown and min(box[2:] - box[:2]) >= SMALLEST and _covered(boxes, x1, y1, x2, y2).sum() == 1:
            origin = np.array([x1, y1, x1, y1], np.float32)
            patches.append(Patch(image[y1:y2, x1:x2], margin, box - origin))
    return patches


def _covered(boxes: NDArray[np.float32], x1: int, y1: int, x2: int, y2: int) -> NDArray[np.bool_]:
    covered: NDArray[np.bool_] = np.all((boxes[:, :2] < (x2, y2)) & (boxes[:, 2:] > (x1, y1)), axis=1)
    return covered


def _free_place(image: NDArray[np.uint8], boxes: NDArray[np.float32], patch: Patch) -> tuple[int, int] | None:
    """Corner where a patch covers no box, or None where none was found."""
    height, width = patch.pixels.shape[:2]
    free = image.shape[1] - width, image.shape[0] - height
    if min(free) < 0:
        return None
    for _ in range(TRIES):
        x, y = (int(np.random.randint(most + 1)) for most in free)
        if not _covered(boxes, x, y, x + width, y + height).any():
            return x, y
    return None
