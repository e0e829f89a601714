"""Draw boxes on images, ground truth next to predictions, and contact sheets of crops."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.imagery import DEFAULT_READING, Reading, read_pixels

TRUTH, PREDICTION = (80, 220, 100), (255, 64, 64)
"""RGB colours of ground truth and predictions."""
MAGNIFIED = 2
"""Magnification of tiles, so that a tank of 5 px stays visible inside its box."""
LINE = 16
"""Height of a line of text, in pixels."""
CELL = 120
"""Side of a crop in a contact sheet, in pixels."""
GAP = 4
"""White space between two crops, in pixels."""
COLUMNS = 8
"""Number of crops in a row of a contact sheet."""
CONTEXT = 2.2
"""Ratio of the side of a crop to the longer side of its box. A crop shows at least 24 px."""


class Crop(NamedTuple):
    """Box to show with its surroundings.

    Attributes:
        image: image file.
        box: xyxy, in pixels of the image.
        truth: ground truth box to draw as well, or None.
    """

    image: Path
    box: Sequence[float]
    truth: Sequence[float] | None = None


def jpeg(pixels: NDArray[np.uint8], quality: int = 88) -> bytes:
    """Encode RGB pixels ``(H, W, 3)`` as a JPEG file."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def draw_boxes(canvas: NDArray[np.uint8], boxes: NDArray[np.float32], colour: Sequence[int]) -> None:
    """Draw the outline of each box, 1 px wide and inside the box.

    Args:
        canvas: ``(H, W, 3)``, changed in place.
        boxes: ``(N, 4)`` xyxy, in pixels; boxes with infinite or nan coordinates are skipped.
        colour: colour in the channel order of the canvas.
    """
    limits = np.tile(canvas.shape[1::-1], 2) + 1  # OpenCV fails for very large coordinates
    for x1, y1, x2, y2 in np.clip(boxes[np.isfinite(boxes).all(axis=1)], -1, limits).round().astype(int).tolist():
        cv2.rectangle(canvas, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), colour, 1)


def title(text: str, width: int) -> NDArray[np.uint8]:
    """Draw white text on a black band ``(16, width, 3)``. A long text is scaled to fit."""
    band = np.zeros((LINE, width, 3), np.uint8)
    (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_PLAIN, 1, 1)
    font_scale = min(1.0, (width - 8) / length)
    cv2.putText(band, text, (4, LINE - 4), cv2.FONT_HERSHEY_PLAIN, font_scale, (255, 255, 255), 1, cv2.LINE_AA)
    return band


def side_by_side(
    image: NDArray[np.uint8], truth: NDArray[np.float32], predictions: NDArray[np.float32], score_threshold: float
) -> NDArray[np.uint8]:
    """Draw ground truth (left) and predictions (right), magnified and with the number of boxes as title.

    Args:
        image: ``(H, W, 3)`` RGB.
        truth: ground truth boxes, ``(N, 4)`` xyxy, in pixels.
        predictions: predicted boxes with scores above the threshold, ``(M, 4)`` xyxy, in pixels.
        score_threshold: threshold for the title.

    Returns:
        ``(16 + 2 * H, 4 * W + 4, 3)`` RGB, with a white line between the halves.
    """
    height, width = (MAGNIFIED * side for side in image.shape[:2])
    halves = []
    for text, boxes, colour in (
        (f"ground truth: {len(truth)}", truth, TRUTH),
        (f"detections at score threshold {score_threshold:.3f}: {len(predictions)}", predictions, PREDICTION),
    ):
        canvas = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        draw_boxes(canvas, boxes * MAGNIFIED, colour)
        halves.append(np.concatenate([title(text, width), canvas]))
    line = np.full((LINE + height, 4, 3), 255, np.uint8)
    return np.concatenate([halves[0], line, halves[1]], axis=1)


def contact_sheet(crops: Sequence[Crop], reading: Reading = DEFAULT_READING) -> NDArray[np.uint8]:
    """Draw crops in rows of :data:`COLUMNS`, numbered from 1.

    Args:
        crops: boxes to show.
        reading: band selection and stretch of the images.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    cells: dict[int, NDArray[np.uint8]] = {}
    for path in dict.fromkeys(crop.image for crop in crops):
        pixels = read_pixels(path, reading)
        cells |= {i: _cell(pixels, crop, str(i + 1)) for i, crop in enumerate(crops) if crop.image == path}
    return grid([cells[index] for index in range(len(crops))], COLUMNS)


def grid(pictures: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Arrange pictures ``(H, W, 3)`` in rows of ``columns``, with white space to the right of each and below it."""
    if not pictures:
        return np.zeros((0, 0, 3), np.uint8)
    height, width = (max(picture.shape[axis] for picture in pictures) + GAP for axis in (0, 1))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * height, min(columns, len(pictures)) * width, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = height * (index // columns), width * (index % columns)
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return sheet


def _cell(pixels: NDArray[np.uint8], crop: Crop, number: str) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = crop.box
    side = max(24.0, CONTEXT * max(abs(x2 - x1), abs(y2 - y1)))
    scale = CELL / side
    corner = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    # cut out the part to show, with a margin for interpolation, because cv2.warpAffine rejects sides of 2 ** 15 px
    left, top = (int(min(max(0, value - 4), pixels.shape[1 - axis])) for axis, value in enumerate(corner))
    right, bottom = (int(max(0, value + side + 4)) for value in corner)
    window = pixels[top:bottom, left:right]
    # the centre of a pixel is half a pixel from its edge
    shift = [scale * (start + 0.5 - value) - 0.5 for start, value in zip((left, top), corner, strict=True)]
    cell = np.zeros((CELL, CELL, 3), np.uint8)
    if window.size:
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        cv2.warpAffine(window, matrix, (CELL, CELL), cell, flags=cv2.INTER_CUBIC)
    for box, colour in ((crop.truth, TRUTH), (crop.box, PREDICTION)):
        if box is not None:
            _draw_corners(cell, [round((value - corner[index % 2]) * scale) for index, value in enumerate(box)], colour)
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(cell, number, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, width, cv2.LINE_AA)
    return cell


def _draw_corners(cell: NDArray[np.uint8], box: Sequence[int], colour: tuple[int, int, int]) -> None:
    """Draw the four corners of a box, because complete sides would hide the edge of the object."""
    left, top, right, bottom = box
    for x, other_x in ((left, right), (right, left)):
        for y, other_y in ((top, bottom), (bottom, top)):
            cv2.line(cell, (x, y), (x + round((other_x - x) / 4), y), colour, 1)
            cv2.line(cell, (x, y), (x, y + round((other_y - y) / 4)), colour, 1)
