"""How large boxes are for what they enclose."""

import numpy as np
from numpy.typing import NDArray

from oil_storage.preparation.alignment.faults import RESIZED, Fault, undo
from oil_storage.preparation.alignment.roundness import ANGLES, GradientField, radial_gradients, tightened

STEP = 0.03
SIZES = np.exp(np.arange(np.log(0.22), np.log(4.5), STEP))
"""Sizes that are tried, as multiples of a box drawn a pixel outside the edge."""
COMMON = slice(17, -17)
"""Of those, the ones among which the size that boxes have in common is sought; a box may differ by 17 steps."""


def common_size(field: GradientField, boxes: NDArray[np.float32]) -> tuple[float, float]:
    """Size in x and in y that boxes have in common.

    An edge is met best by an ellipse of its own shape, so the ratio is measured again after the first is undone. Tanks
    are round but for the angle from which they are seen: half of the ratio comes from the boxes' own sides.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy, pixels, ``N > 0``; about their objects' centres.

    Returns:
        tuple: multiples of a box drawn a pixel outside what it encloses.
    """
    first = box_sizes(field, boxes)
    size, ratio = (float(value) for value in np.exp(np.median(first, axis=0)))
    again = box_sizes(field, undo(Fault(RESIZED, (size * ratio**0.5, size / ratio**0.5)), boxes, 0, 0))
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    drawn = float(np.median(sides[:, 0] / sides[:, 1]))
    ratio = float((drawn * ratio * np.exp(np.median(again[:, 1]))) ** 0.5)
    return size * ratio**0.5, size / ratio**0.5


def box_sizes(field: GradientField, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Width and height of each box, as multiples of those of a box drawn a pixel outside what it encloses.

    Ellipses of all sizes are drawn about the box's centre, and the strongest edge sought on each side. Shadows that the
    box holds make one side or two seem too large, so the size is that of the second smallest side; the ratio is that
    of the strongest pairs of opposite sides.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy, pixels, ``N > 0``.

    Returns:
        ``(N, 2)`` logarithms of size and of the ratio of width to height.
    """
    radial, _ = radial_gradients(field, np.concatenate([tightened(boxes, size=size) for size in SIZES.tolist()]))
    sides = radial.reshape(len(SIZES), len(boxes), 4, ANGLES // 4).mean(axis=3)
    whole = np.abs(sides.mean(axis=2))
    # each box counts the same, whatever its contrast
    profile = (whole / np.maximum(whole.max(axis=0), 1e-6)).mean(axis=1)
    first = int(profile[COMMON].argmax())
    near = sides[first : first + 2 * COMMON.start + 1]
    right, bottom, left, top = (near[:, :, side] for side in range(4))
    single = np.sort([_top(np.abs(side)) for side in (right, bottom, left, top)], axis=0)
    size = single[1]
    ratio = _top(np.abs(right + left)) - _top(np.abs(bottom + top))
    return np.stack([np.log(SIZES[first]) + STEP * size, STEP * ratio], axis=1)


def _top(strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row where each column is highest: the top of the parabola through the highest value and its neighbours."""
    row = strength.argmax(axis=0).clip(1, len(strength) - 2)
    before, here, after = (strength[row + step, np.arange(strength.shape[1])] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    offset = np.where(bend < 0, (before - after) / np.minimum(2 * bend, -1e-9), 0)
    found: NDArray[np.float64] = row + offset.clip(-1, 1)
    return found
