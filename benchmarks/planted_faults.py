"""Plant faults in correct boxes, for benchmarks and tests."""

import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment.faults import RESIZED, SCALED, SHIFTED, Fault, undo

OPPOSITE = {
    "turned by 90 degrees clockwise": "turned by 90 degrees counter-clockwise",
    "turned by 90 degrees counter-clockwise": "turned by 90 degrees clockwise",
    "centre read as corner": "corner read as centre",
    "corner read as centre": "centre read as corner",
    "xyxy read as xywh": "xywh read as xyxy",
}
"""Kinds of faults and their inverses.

Kinds that are not listed are their own inverse, except those for which :func:`plant` computes the inverse.
"""


def plant(fault: Fault, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Add a fault to correct boxes ``(N, 4)``, xyxy. This is the inverse of :func:`undo`."""
    if fault.kind == "xywh read as xyxy":  # undo() would put the corners in order
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    if fault.kind == "xxyy read as xyxy":
        return boxes[:, [0, 2, 1, 3]]
    if fault.kind in (SCALED, RESIZED):
        opposite = Fault(fault.kind, tuple(1 / value for value in fault.parameters))
    elif fault.kind == SHIFTED:
        opposite = Fault(fault.kind, tuple(-value for value in fault.parameters))
    else:
        opposite = Fault(OPPOSITE.get(fault.kind, fault.kind))
    if "90" in fault.kind:  # the rotated image has width and height exchanged
        width, height = height, width
    return undo(opposite, boxes, width, height)


def loosen(boxes: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Loosen correct boxes ``(N, 4)``, xyxy, as people draw them around roof, wall and lean.

    In each scene, boxes grow by up to 15 % of their sides in x and in y, away from a random sun. All edges jitter with
    a standard deviation of 5 % of the sides.
    """
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    grown = np.zeros(4)
    grown[[0, 1]] = -rng.uniform(0, 0.15, 2)
    if rng.random() < 0.5:
        grown[[0, 2]] = -grown[[2, 0]]
    if rng.random() < 0.5:
        grown[[1, 3]] = -grown[[3, 1]]
    return (boxes + sides * (grown + rng.normal(0, 0.05, boxes.shape))).astype(np.float32)


def close_up(
    boxes: NDArray[np.float32], width: int, height: int, side: int
) -> tuple[tuple[int, int], NDArray[np.float32]]:
    """Find the square window of an image that contains the most boxes ``(N, 4)``, xyxy, ``N > 0``.

    Returns:
        tuple: the upper left corner ``(x, y)`` of the window, and the boxes that are completely inside it, relative to
            this corner.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    corners = np.clip(centres - side / 2, 0, np.maximum(np.array([width, height]) - side, 0)).astype(np.int64)
    inside = (boxes[:, :2] >= corners[:, None]).all(axis=2) & (boxes[:, 2:] <= corners[:, None] + side).all(axis=2)
    best = int(inside.sum(axis=1).argmax())
    x, y = corners[best].tolist()
    return (x, y), boxes[inside[best]] - np.array([x, y, x, y], np.float32)
