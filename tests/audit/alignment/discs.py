"""Scenes of discs with boxes that have a margin of one pixel."""

import cv2
import numpy as np
from numpy.typing import NDArray


def scene_of_discs(
    seed: int, width: int = 900, height: int = 700, discs: int = 40, square: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return an image of discs, or of rotated squares, on textured ground, and boxes with a margin of one pixel."""
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 3) + 110
    boxes: list[tuple[float, float, float, float]] = []
    while len(boxes) < discs:
        radius = rng.uniform(5, 18)
        edge = radius + 1
        x, y = rng.uniform(edge, width - edge), rng.uniform(edge, height - edge)
        box = x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1
        if any(box[0] < c and a < box[2] and box[1] < d and b < box[3] for a, b, c, d in boxes):
            continue
        boxes.append(box)
        grey = float(rng.choice([30, 190, 220]))
        if square:
            turn = rng.uniform(0, 90)
            side = 2 * radius / (np.cos(np.radians(turn)) + np.sin(np.radians(turn)))
            corners = cv2.boxPoints(((x, y), (side, side), turn))
            cv2.fillPoly(ground, [np.round(corners * 16).astype(np.int32)], grey, cv2.LINE_AA, 4)
        else:
            cv2.circle(ground, (round(x * 16 - 8), round(y * 16 - 8)), round(radius * 16), grey, -1, cv2.LINE_AA, 4)
    noisy = cv2.GaussianBlur(ground, (0, 0), 0.7) + rng.normal(0, 4, ground.shape)
    return np.repeat(noisy.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), np.array(boxes, dtype=np.float32)
