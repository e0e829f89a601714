"""Sheets of small pictures, each a box on its image with some ground around it."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.imagery import DEFAULT_READING, Reading, read_pixels

CELL = 120
"""Side of a picture, pixels."""
GAP = 4
"""White between two pictures, pixels."""
COLUMNS = 8
COLOUR, SECOND_COLOUR = (255, 64, 64), (80, 220, 100)
CONTEXT = 2.2
"""A picture shows so many times the box's longer side, but no fewer than 24 px."""


def contact_sheet(
    boxes: Sequence[tuple[Path, Sequence[float]]],
    beside: Sequence[Sequence[float] | None] = (),
    reading: Reading = DEFAULT_READING,
) -> NDArray[np.uint8]:
    """Draw each box on its image.

    Args:
        boxes: image files and boxes, xyxy in pixels of the image.
        beside: for each a second box to be drawn in another colour, or None; empty where none has one.
        reading: how the bands of the images become colours.

    Returns:
        ``(H, W, 3)`` uint8 RGB: rows of :data:`COLUMNS` pictures, in the order given and numbered from 1.
    """
    of_image: dict[Path, list[int]] = defaultdict(list)
    for index, (path, _) in enumerate(boxes):
        of_image[path].append(index)
    pitch = CELL + GAP
    rows, columns = -(-len(boxes) // COLUMNS), min(COLUMNS, len(boxes))
    sheet = np.full((rows * pitch, columns * pitch, 3), 255, np.uint8)
    for path, indices in of_image.items():
        pixels = read_pixels(path, reading)
        for index in indices:
            y, x = (pitch * place for place in divmod(index, COLUMNS))
            second = beside[index] if beside else None
            sheet[y : y + CELL, x : x + CELL] = _cell(pixels, boxes[index][1], second, str(index + 1))
    return sheet


def _cell(
    pixels: NDArray[np.uint8], box: Sequence[float], second: Sequence[float] | None, number: str
) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = box
    side = max(24.0, CONTEXT * max(abs(x2 - x1), abs(y2 - y1)))
    scale = CELL / side
    corner = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    # what is shown and some pixels to interpolate: cv2.warpAffine takes no image with a side of 2 ** 15
    first = [int(min(max(0, value - 4), pixels.shape[1 - axis])) for axis, value in enumerate(corner)]
    window = pixels[first[1] : int(max(0, corner[1] + side + 4)), first[0] : int(max(0, corner[0] + side + 4))]
    # pixel centres lie half a pixel inside
    shift = [scale * (start + 0.5 - value) - 0.5 for start, value in zip(first, corner, strict=True)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    cell = np.zeros((CELL, CELL, 3), np.uint8)
    if window.size:
        cv2.warpAffine(window, matrix, (CELL, CELL), cell, flags=cv2.INTER_CUBIC)
    for one, tint in ((second, SECOND_COLOUR), (box, COLOUR)):
        if one is not None:
            left, top, right, bottom = (round((value - corner[index % 2]) * scale) for index, value in enumerate(one))
            _draw_corners(cell, (left, top), (right, bottom), tint)
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(cell, number, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, width, cv2.LINE_AA)
    return np.asarray(cell, np.uint8)


def _draw_corners(
    cell: NDArray[np.uint8], first: tuple[int, int], second: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    """The four corners of a box: whole sides would lie on the edge that is to be judged."""
    for x, other_x in ((first[0], second[0]), (second[0], first[0])):
        for y, other_y in ((first[1], second[1]), (second[1], first[1])):
            cv2.line(cell, (x, y), (x + round((other_x - x) / 4), y), colour, 1)
            cv2.line(cell, (x, y), (x, y + round((other_y - y) / 4)), colour, 1)
