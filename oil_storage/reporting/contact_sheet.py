"""Sheets of small pictures, each a box on its image with some ground around it."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.imagery import read_pixels

CELL = 96
"""Side of a picture, pixels."""
COLUMNS = 10
COLOUR = (255, 64, 64)
CONTEXT = 2.2
"""A picture shows so many times the box's longer side, but no fewer than 24 px."""


def contact_sheet(boxes: Sequence[tuple[Path, Sequence[float]]]) -> NDArray[np.uint8]:
    """Draw each box on its image.

    Args:
        boxes: image files and boxes, xyxy in pixels of the image.

    Returns:
        ``(H, W, 3)`` uint8 RGB: rows of :data:`COLUMNS` pictures, in the order given.
    """
    cells: list[NDArray[np.uint8]] = [np.zeros((CELL, CELL, 3), np.uint8)] * len(boxes)
    of_image: dict[Path, list[int]] = defaultdict(list)
    for index, (path, _) in enumerate(boxes):
        of_image[path].append(index)
    for path, indices in of_image.items():
        pixels = read_pixels(path)
        for index in indices:
            cells[index] = _cell(pixels, boxes[index][1])
    blank = np.full((CELL, CELL, 3), 255, np.uint8)
    rows = [
        np.hstack([*cells[start : start + COLUMNS], *[blank] * (start + COLUMNS - len(cells))])
        for start in range(0, len(cells), COLUMNS)
    ]
    return np.vstack(rows) if rows else np.zeros((0, 0, 3), np.uint8)


def _cell(pixels: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = box
    side = max(24.0, CONTEXT * max(abs(x2 - x1), abs(y2 - y1)))
    scale = CELL / side
    corner = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    # pixel centres lie half a pixel inside
    shift = [scale * (0.5 - value) - 0.5 for value in corner]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    cell = cv2.warpAffine(pixels, matrix, (CELL, CELL), flags=cv2.INTER_LINEAR)
    drawn = [round((value - corner[index % 2]) * scale) for index, value in enumerate(box)]
    return np.asarray(cv2.rectangle(cell, tuple(drawn[:2]), tuple(drawn[2:]), COLOUR, 1), np.uint8)
