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
ALIKE = 0.09
"""Standard deviation of the kernel by which logarithms of sizes are counted as alike,"""
PLACES = 0.005
"""and how close to each other their density is measured."""


def common_size(field: GradientField, boxes: NDArray[np.float32]) -> tuple[float, float]:
    """Size in x and in y that boxes have in common.

    The size is the commonest of all sides, but for the largest of each box: shadows and walls that the box holds make
    sides seem too large, each by another size. An edge is met best by an ellipse of its own shape, so the ratio is
    measured again after the first is undone. Tanks are round but for the angle from which they are seen: half of the
    ratio comes from the boxes' own sides.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy, pixels, ``N > 0``; about their objects' centres.

    Returns:
        tuple: multiples of a box drawn a pixel outside what it encloses.
    """
    sides, ratios = side_sizes(field, boxes)
    size, ratio = float(np.exp(_commonest(np.sort(sides, axis=1)[:, :3]))), float(np.exp(np.median(ratios)))
    _, again = side_sizes(field, undo(Fault(RESIZED, (size * ratio**0.5, size / ratio**0.5)), boxes, 0, 0))
    drawn = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    ratio = float((np.median(drawn[:, 0] / drawn[:, 1]) * ratio * np.exp(np.median(again))) ** 0.5)
    return size * ratio**0.5, size / ratio**0.5


def side_sizes(field: GradientField, boxes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Size of each box as each of its sides tells it, and the ratio of its sizes in x and y.

    Ellipses of all sizes are drawn about the box's centre, and the strongest edge sought on each side; the ratio is
    that of the strongest pairs of opposite sides.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy, pixels, ``N > 0``.

    Returns:
        tuple: ``(N, 4)`` logarithms of sizes, as multiples of a box drawn a pixel outside what it encloses, by the
        right, bottom, left and top side; ``(N,)`` logarithms of ratios.
    """
    radial, _ = radial_gradients(field, np.concatenate([tightened(boxes, size=size) for size in SIZES.tolist()]))
    sides = radial.reshape(len(SIZES), len(boxes), 4, ANGLES // 4).mean(axis=3)
    whole = np.abs(sides.mean(axis=2))
    # each box counts the same, whatever its contrast
    profile = (whole / np.maximum(whole.max(axis=0), 1e-6)).mean(axis=1)
    first = int(profile[COMMON].argmax())
    near = sides[first : first + 2 * COMMON.start + 1]
    right, bottom, left, top = (near[:, :, side] for side in range(4))
    found = np.stack([_top(np.abs(side)) for side in (right, bottom, left, top)], axis=1)
    ratio = _top(np.abs(right + left)) - _top(np.abs(bottom + top))
    return np.log(SIZES[first]) + STEP * found, STEP * ratio


def _commonest(values: NDArray[np.float64]) -> float:
    """Where values are densest."""
    places = np.arange(values.min(), values.max() + PLACES, PLACES)
    density = np.exp(-(((values.ravel() - places[:, None]) / ALIKE) ** 2) / 2).sum(axis=1)
    return float(places[density.argmax()])


def _top(strength: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row where each column is highest: the top of the parabola through the highest value and its neighbours."""
    row = strength.argmax(axis=0).clip(1, len(strength) - 2)
    before, here, after = (strength[row + step, np.arange(strength.shape[1])] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    offset = np.where(bend < 0, (before - after) / np.minimum(2 * bend, -1e-9), 0)
    found: NDArray[np.float64] = row + offset.clip(-1, 1)
    return found
