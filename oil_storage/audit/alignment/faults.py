"""Faults that misplace all boxes of a scene, and the operations that undo them, in pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oil_storage.audit.alignment.roundness import Floats

NONE = "none"
SCALED = "coordinates scaled"
RESIZED = "sizes scaled"
SHIFTED = "shifted"
ELSEWHERE = "belonging to another image"
UNNAMED = "not on round objects, for an unknown reason"
_UNDO: dict[str, Callable[[Floats, Floats, Floats, Floats, float, float], tuple[Any, Any, Any, Any]]] = {
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
"""Faults without parameters."""
FORMATS = ("xywh read as xyxy", "xyxy read as xywh", "xxyy read as xyxy")
"""Faults that change the sides of the boxes in a different way for each box."""


def _moved(a: Floats, b: Floats, c: Floats, d: Floats, sides: float) -> tuple[Any, Any, Any, Any]:
    x, y = (c - a) * sides, (d - b) * sides
    return a + x, b + y, c + x, d + y


@dataclass(frozen=True)
class Fault:
    """Operation that misplaced correct boxes.

    Attributes:
        kind: :data:`NONE`, :data:`SCALED`, :data:`RESIZED`, :data:`SHIFTED`, :data:`ELSEWHERE`, :data:`UNNAMED`, or
            one of :data:`DISCRETE`.
        parameters: scale ``(sx, sy)`` about the image origin for :data:`SCALED` and about the box centres for
            :data:`RESIZED`, shift ``(dx, dy)`` in pixels for :data:`SHIFTED`, empty for other kinds.
        image: id of the scene to which the boxes belong; empty except for :data:`ELSEWHERE`.
    """

    kind: str = NONE
    parameters: tuple[float, ...] = ()
    image: str = ""

    def magnified(self, factor: float) -> "Fault":
        """Return the fault in an image that is ``factor`` times as large."""
        if self.kind != SHIFTED:
            return self
        return replace(self, parameters=tuple(value * factor for value in self.parameters))

    def __str__(self) -> str:
        if not self.parameters:
            return f"{self.kind}, {self.image}" if self.image else self.kind
        x, y = self.parameters
        if self.kind == SHIFTED:
            return f"shifted by ({x:+.1f}, {y:+.1f}) px"
        places, suffix = (3, "") if self.kind == SCALED else (2, " about the boxes' centres")
        return f"{self.kind} by {x:.{places}f}" + (f" in x and {y:.{places}f} in y" if x != y else "") + suffix


def undo(fault: Fault, boxes: Floats, width: float, height: float) -> Floats:
    """Undo a fault of boxes ``(N, 4)``; return the corrected boxes as float32 xyxy with ordered corners.

    The given corners may have any order and may lie outside the image. Boxes with the faults
    :data:`ELSEWHERE` and :data:`UNNAMED` are not moved.
    """
    a, b, c, d = boxes.T.astype(np.float32)
    if fault.kind in _UNDO:
        a, b, c, d = _UNDO[fault.kind](a, b, c, d, width, height)
    elif fault.kind == RESIZED:
        half_x, half_y = (c - a) / 2 / fault.parameters[0], (d - b) / 2 / fault.parameters[1]
        x, y = (a + c) / 2, (b + d) / 2
        a, b, c, d = x - half_x, y - half_y, x + half_x, y + half_y
    elif fault.parameters:
        x, y = fault.parameters
        a, b, c, d = (a / x, b / y, c / x, d / y) if fault.kind == SCALED else (a - x, b - y, c - x, d - y)
    return np.stack([np.minimum(a, c), np.minimum(b, d), np.maximum(a, c), np.maximum(b, d)], axis=1).astype(np.float32)
