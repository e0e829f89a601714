"""What a detector found in a scene, beside what is there."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SceneResult:
    """Detections and ground truth of one whole scene.

    Attributes:
        scene_id: the scene's name.
        width: of the scene, pixels.
        height: of the scene, pixels.
        truth: ``(N, 4)`` float32 xyxy, pixels of the scene.
        boxes: ``(M, 4)`` float32 xyxy, pixels of the scene.
        scores: ``(M,)`` float32.
        windows: ``(T, 4)`` int64 xyxy: the tiles that were looked at; None where the scene was looked at as a whole.
        gsd: metres per pixel; None where it is not known.
    """

    scene_id: str
    width: int
    height: int
    truth: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    windows: NDArray[np.int64] | None = None
    gsd: float | None = None


def truth_sha256(scenes: Iterable[SceneResult]) -> str:
    """SHA-256 of what is there, to a tenth of a pixel: equal where scores can be compared, whatever the format was."""
    there = sorted((one.scene_id, one.width, one.height, _rounded(one.truth)) for one in scenes)
    return hashlib.sha256(json.dumps(there).encode()).hexdigest()


def _rounded(boxes: NDArray[np.float32]) -> list[list[int]]:
    rounded: list[list[int]] = sorted(np.rint(boxes.astype(np.float64) * 10).astype(int).tolist())
    return rounded
