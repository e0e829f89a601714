"""Measure the error that the boxes of all scenes have in common, and what it costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oil_storage.audit.alignment.evidence import SceneEvidence

NATURAL_SIZE = 1.09
"""Size of boxes drawn by hand, as multiples of boxes that end at the edge of the object."""
LOOSE = 0.3
"""Maximum growth of a box towards one side, in sides of the object, that is a habit: it includes wall and lean."""
DEVIATIONS = 2.5
"""Number of standard errors by which the common shift may be overestimated."""
CUT = 0.05
"""Maximum part of an object, in its sides, that a loose box leaves out."""


def loss(shift: tuple[float, float]) -> float:
    """Return the loss of IoU, ``1 - IoU``, of a box that is shifted by ``shift`` in x and y, in sides of the box."""
    inner = math.prod(max(0.0, 1 - abs(offset)) for offset in shift)
    return 1 - inner / (2 - inner)


def is_loose(shift: tuple[float, float], size: tuple[float, float]) -> bool:
    """Return whether boxes cover their objects, and extend beyond them as far as loose boxes drawn by hand.

    Args:
        shift: shift of the boxes in x and y, in sides of the box.
        size: size of the boxes in x and y, as multiples of the size of boxes that end at the edge of the object.
    """
    grown = [(side / NATURAL_SIZE - 1) / 2 for side in size]
    return all(
        grow - abs(aside) >= -CUT and grow + abs(aside) <= LOOSE + CUT for grow, aside in zip(grown, shift, strict=True)
    )


@dataclass(frozen=True)
class SetError:
    """Error that the boxes of all scenes have in common: medians over scenes whose boxes are centred on objects.

    Attributes:
        scenes: number of these scenes, at least 1.
        shift: ``(dx, dy)`` in pixels.
        shift_error: standard error of ``shift`` in x and y.
        size: size of the boxes in x and y, as multiples of :data:`NATURAL_SIZE`.
        size_error: standard error of ``size`` in x and y.
        side: side of the boxes in pixels.
    """

    scenes: int
    shift: tuple[float, float]
    shift_error: tuple[float, float]
    size: tuple[float, float]
    size_error: tuple[float, float]
    side: float

    @classmethod
    def of(cls, scenes: Sequence[SceneEvidence]) -> "SetError":
        """Measure the error of at least one scene."""
        shift, shift_error = _median([scene.shift for scene in scenes])
        size, size_error = _median([(scene.size[0] / NATURAL_SIZE, scene.size[1] / NATURAL_SIZE) for scene in scenes])
        side = max(float(np.median([scene.side for scene in scenes])), 1e-6)
        return cls(len(scenes), shift, shift_error, size, size_error, side)

    @property
    def loss(self) -> float:
        """Loss of IoU by the shift; 0 if the boxes are loose."""
        return 0.0 if self._is_loose else loss((self.shift[0] / self.side, self.shift[1] / self.side))

    @property
    def sure_loss(self) -> float:
        """Like :attr:`loss`, for a shift that is shorter by :data:`DEVIATIONS` standard errors in x and in y."""
        x, y = (
            max(0.0, abs(off) - DEVIATIONS * error) for off, error in zip(self.shift, self.shift_error, strict=True)
        )
        return 0.0 if self._is_loose else loss((x / self.side, y / self.side))

    @property
    def _is_loose(self) -> bool:
        size = self.size[0] * NATURAL_SIZE, self.size[1] * NATURAL_SIZE
        return min(self.size) > 1 and is_loose((self.shift[0] / self.side, self.shift[1] / self.side), size)

    def __str__(self) -> str:
        (dx, dy), (ex, ey), (sx, sy), (tx, ty) = self.shift, self.shift_error, self.size, self.size_error
        return (
            f"common shift ({dx:+.1f} ± {ex:.1f}, {dy:+.1f} ± {ey:.1f}) px, a loss of {self.loss:.2f} IoU; "
            f"box size ({sx:.2f} ± {tx:.2f}, {sy:.2f} ± {ty:.2f}), 1 is the usual size of manual annotations"
        )


def _median(pairs: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the median of pairs, and its standard error from the median absolute deviation (normal distribution)."""
    values = np.array(pairs, np.float64)
    middle = np.median(values, axis=0)
    error = math.sqrt(math.pi / 2 / len(values)) * 1.4826 * np.median(np.abs(values - middle), axis=0)
    return (float(middle[0]), float(middle[1])), (float(error[0]), float(error[1]))
