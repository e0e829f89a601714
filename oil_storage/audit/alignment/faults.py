"""The ways in which boxes go wrong, and how each is undone. Sizes are pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE = "none"
SCALED = "coordinates scaled"
RESIZED = "sizes scaled"
SHIFTED = "shifted"
ELSEWHERE = "of another image"
DISCRETE = (
    "mirrored left-right",
    "mirrored top-bottom",
    "turned by 180 degrees",
    "transposed",
    "turned by 90 degrees clockwise",
    "turned by 90 degrees counter-clockwise",
    "xywh read as xyxy",
    "xyxy read as xywh",
    "xxyy read as xyxy",
    "centre read as corner",
    "corner read as centre",
)
"""Faults without a parameter."""


@dataclass(frozen=True)
class Fault:
    """What was done to boxes that were right.

    Attributes:
        kind: :data:`NONE`, one of :data:`DISCRETE`, or with parameters:
            :data:`SCALED` about the image's origin by ``(sx, sy)``; :data:`RESIZED` about their own centres by
            ``(sx, sy)``; :data:`SHIFTED` by ``(dx, dy)`` pixels; :data:`ELSEWHERE`.
        parameters: of the kind.
        image: of :data:`ELSEWHERE`, the scene on which the boxes sit.
    """

    kind: str = NONE
    parameters: tuple[float, ...] = ()
    image: str = ""

    def __str__(self) -> str:
        match self.kind, self.parameters:
            case (kind, (x, y)) if kind == SCALED:
                return f"coordinates scaled by {x:.3f}" + (f" in x and {y:.3f} in y" if x != y else "")
            case (kind, (x, y)) if kind == RESIZED:
                by = f"{x:.2f}" + (f" in x and {y:.2f} in y" if x != y else "")
                return f"sizes scaled by {by} about the boxes' centres"
            case (kind, (x, y)) if kind == SHIFTED:
                return f"shifted by ({x:+.1f}, {y:+.1f}) px"
            case _:
                return f"of another image, {self.image}" if self.image else self.kind


def undo(fault: Fault, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return boxes as they were before the fault, ``(N, 4)`` float32 xyxy with corners in order.

    As written, corners may be in any order, and lie outside the image. :data:`ELSEWHERE` changes nothing.
    """
    a, b, c, d = boxes.T.astype(np.float32)
    match fault.kind:
        case "mirrored left-right":
            a, c = width - c, width - a
        case "mirrored top-bottom":
            b, d = height - d, height - b
        case "turned by 180 degrees":
            a, b, c, d = width - c, height - d, width - a, height - b
        case "transposed":
            a, b, c, d = b, a, d, c
        case "turned by 90 degrees clockwise":
            a, b, c, d = b, height - c, d, height - a
        case "turned by 90 degrees counter-clockwise":
            a, b, c, d = width - d, a, width - b, c
        case "xywh read as xyxy":
            c, d = a + c, b + d
        case "xyxy read as xywh":
            c, d = c - a, d - b
        case "xxyy read as xyxy":
            b, c = c, b
        case "centre read as corner":
            a, b, c, d = a - (c - a) / 2, b - (d - b) / 2, c - (c - a) / 2, d - (d - b) / 2
        case "corner read as centre":
            a, b, c, d = a + (c - a) / 2, b + (d - b) / 2, c + (c - a) / 2, d + (d - b) / 2
        case "coordinates scaled":
            x, y = fault.parameters
            a, b, c, d = a / x, b / y, c / x, d / y
        case "sizes scaled":
            by_x, by_y = fault.parameters
            x, y, w, h = (a + c) / 2, (b + d) / 2, (c - a) / 2 / by_x, (d - b) / 2 / by_y
            a, b, c, d = x - w, y - h, x + w, y + h
        case "shifted":
            x, y = fault.parameters
            a, b, c, d = a - x, b - y, c - x, d - y
    return np.stack([np.minimum(a, c), np.minimum(b, d), np.maximum(a, c), np.maximum(b, d)], axis=1).astype(np.float32)


OPPOSITE = {
    "turned by 90 degrees clockwise": "turned by 90 degrees counter-clockwise",
    "turned by 90 degrees counter-clockwise": "turned by 90 degrees clockwise",
    "centre read as corner": "corner read as centre",
    "corner read as centre": "centre read as corner",
    "xyxy read as xywh": "xywh read as xyxy",
}
"""Faults that are undone by another; the others undo themselves."""


def plant(fault: Fault, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return right boxes ``(N, 4)`` as they are written with the fault: the inverse of :func:`undo`, for tests."""
    if fault.kind == "xywh read as xyxy":  # leaves corners in the wrong order
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    if fault.kind == "xxyy read as xyxy":
        return boxes[:, [0, 2, 1, 3]]
    if fault.kind in (SCALED, RESIZED):
        opposite = Fault(fault.kind, tuple(1 / value for value in fault.parameters))
    elif fault.kind == SHIFTED:
        opposite = Fault(fault.kind, tuple(-value for value in fault.parameters))
    else:
        opposite = Fault(OPPOSITE.get(fault.kind, fault.kind))
    if "90" in fault.kind:  # the turned image has the other sides
        width, height = height, width
    return undo(opposite, boxes, width, height)
