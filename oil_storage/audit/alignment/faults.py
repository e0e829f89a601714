"""The ways in which boxes go wrong, and how each is undone. Sizes are pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oil_storage.audit.alignment.roundness import Floats

NONE = "none"
SCALED = "coordinates scaled"
RESIZED = "sizes scaled"
SHIFTED = "shifted"
ELSEWHERE = "of another image"
_UNDO: dict[str, Callable[[Floats, Floats, Floats, Floats, int, int], tuple[Floats, Floats, Floats, Floats]]] = {
    "mirrored left-right": lambda a, b, c, d, width, height: (width - c, b, width - a, d),
    "mirrored top-bottom": lambda a, b, c, d, width, height: (a, height - d, c, height - b),
    "turned by 180 degrees": lambda a, b, c, d, width, height: (width - c, height - d, width - a, height - b),
    "transposed": lambda a, b, c, d, width, height: (b, a, d, c),
    "turned by 90 degrees clockwise": lambda a, b, c, d, width, height: (b, height - c, d, height - a),
    "turned by 90 degrees counter-clockwise": lambda a, b, c, d, width, height: (width - d, a, width - b, c),
    "xywh read as xyxy": lambda a, b, c, d, width, height: (a, b, a + c, b + d),
    "xyxy read as xywh": lambda a, b, c, d, width, height: (a, b, c - a, d - b),
    "xxyy read as xyxy": lambda a, b, c, d, width, height: (a, c, b, d),
    "centre read as corner": lambda a, b, c, d, width, height: _moved(a, b, c, d, -0.5),
    "corner read as centre": lambda a, b, c, d, width, height: _moved(a, b, c, d, 0.5),
}
DISCRETE = tuple(_UNDO)
"""Faults without a parameter."""


def _moved(a: Floats, b: Floats, c: Floats, d: Floats, sides: float) -> tuple[Floats, Floats, Floats, Floats]:
    x, y = (c - a) * np.float32(sides), (d - b) * np.float32(sides)
    return a + x, b + y, c + x, d + y


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


def undo(fault: Fault, boxes: Floats, width: int, height: int) -> Floats:
    """Return boxes as they were before the fault, ``(N, 4)`` float32 xyxy with corners in order.

    As written, corners may be in any order, and lie outside the image. :data:`ELSEWHERE` changes nothing.
    """
    a, b, c, d = boxes.T.astype(np.float32)
    if fault.kind in _UNDO:
        a, b, c, d = _UNDO[fault.kind](a, b, c, d, width, height)
    elif fault.kind == SCALED:
        x, y = fault.parameters
        a, b, c, d = a / x, b / y, c / x, d / y
    elif fault.kind == SHIFTED:
        x, y = fault.parameters
        a, b, c, d = a - x, b - y, c - x, d - y
    elif fault.kind == RESIZED:
        by_x, by_y = fault.parameters
        x, y, w, h = (a + c) / 2, (b + d) / 2, (c - a) / 2 / by_x, (d - b) / 2 / by_y
        a, b, c, d = x - w, y - h, x + w, y + h
    return np.stack([np.minimum(a, c), np.minimum(b, d), np.maximum(a, c), np.maximum(b, d)], axis=1).astype(np.float32)
