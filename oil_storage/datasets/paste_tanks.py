"""Copies of tanks in places where there is none."""

from collections import deque
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from numpy.typing import NDArray

AROUND = 0.3
"""Of a tank's side: ground around it that goes with it, its shadow in it; the blend fades there."""
KEPT = 300
"""Tanks that a process keeps, of the images that it saw last."""
TRIES = 4
"""Places that are tried for one tank."""


@TRANSFORMS.register_module()
class PasteTanks(BaseTransform):
    """Paste tanks of images seen before into free places of this one, turned at random.

    Reads and changes ``img`` ``(H, W, 3)``, ``gt_bboxes`` ``(N, 4)`` xyxy pixels, ``gt_bboxes_labels`` and
    ``gt_ignore_flags`` ``(N,)``.

    Args:
        most: tanks to paste, drawn evenly from 0 on.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.bank: deque[tuple[NDArray[np.uint8], int]] = deque(maxlen=KEPT)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Paste, and keep the image's own tanks for later ones."""
        image, boxes = results["img"].copy(), results["gt_bboxes"].numpy().astype(np.float32)
        own = [_patch(results["img"], box) for box in boxes]
        added: list[NDArray[np.float32]] = []
        for _ in range(np.random.randint(self.most + 1) if self.bank else 0):
            patch, margin = self.bank[np.random.randint(len(self.bank))]
            patch = np.rot90(patch, np.random.randint(4))
            height, width = patch.shape[:2]
            if height >= image.shape[0] or width >= image.shape[1]:
                continue
            for _ in range(TRIES):
                x, y = np.random.randint((image.shape[1] - width, image.shape[0] - height))
                taken = np.concatenate([boxes, *[box[None] for box in added]])
                if not (
                    (taken[:, :2] < (x + width, y + height)).all(axis=1) & (taken[:, 2:] > (x, y)).all(axis=1)
                ).any():
                    _blend(image[y : y + height, x : x + width], patch, margin)
                    added.append(
                        np.array([x + margin, y + margin, x + width - margin, y + height - margin], np.float32)
                    )
                    break
        self.bank.extend(patch for patch in own if patch is not None)
        if added:
            results["img"] = image
            results["gt_bboxes"] = HorizontalBoxes(np.concatenate([boxes, np.stack(added)]))
            for key, value in (("gt_bboxes_labels", 0), ("gt_ignore_flags", False)):
                results[key] = np.append(results[key], np.full(len(added), value, results[key].dtype))
        return results


def _patch(image: NDArray[np.uint8], box: NDArray[np.float32]) -> tuple[NDArray[np.uint8], int] | None:
    """A tank with the ground around it and the width of that, or None where the image does not show as much."""
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.ceil(box[2:]).astype(int)
    margin = max(2, round(AROUND * max(right - left, bottom - top)))
    window = (left - margin, top - margin, right + margin, bottom + margin)
    if min(window[:2]) < 0 or window[2] > image.shape[1] or window[3] > image.shape[0] or min(box[2:] - box[:2]) < 5:
        return None
    return image[window[1] : window[3], window[0] : window[2]].copy(), margin


def _blend(place: NDArray[np.uint8], patch: NDArray[np.uint8], margin: int) -> None:
    """Lay a patch over a place of its size, whole over the tank and fading in the margin."""
    alpha = np.zeros(patch.shape[:2], np.float32)
    alpha[margin // 2 : -(margin // 2) or None, margin // 2 : -(margin // 2) or None] = 1
    alpha = cv2.blur(alpha, (margin, margin))[..., None]
    place[:] = np.rint(alpha * patch + (1 - alpha) * place).astype(np.uint8)
