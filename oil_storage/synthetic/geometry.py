"""Points, outlines and noise fields. Coordinates are (x, y) in pixels; pixel i covers [i, i + 1)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Field = NDArray[np.float32]

_WAVES = np.array([2.0, 3.0, 5.0])
_CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


def unit(angle: ArrayLike) -> Array:
    """Return unit vectors ``(..., 2)`` at ``angle`` radians, measured from the x axis towards the y axis (down)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def axes(angle: float) -> Array:
    """Return two unit vectors ``(2, 2)``: the first at ``angle`` radians, the second perpendicular to it."""
    return unit([angle, angle + np.pi / 2])


@dataclass
class Rectangle:
    """Rectangle with ``centre`` ``(2,)`` and ``size`` ``(2,)`` in pixels, rotated by ``angle`` radians."""

    centre: Array
    size: Array
    angle: float

    def at(self, offset: ArrayLike) -> Array:
        """Convert offsets ``(..., 2)``, measured from the centre along the sides, to scene coordinates ``(..., 2)``."""
        return np.asarray(self.centre + np.asarray(offset) @ axes(self.angle))

    def outline(self, margin: float = 0.0) -> Array:
        """Return the corners ``(4, 2)`` of the rectangle, enlarged by ``margin`` px on each side."""
        return self.at(_CORNERS * (self.size + 2 * margin))


def circle(centre: Array, radius: float) -> Array:
    """Return the outline ``(n, 2)`` of a disc; ``n`` grows with the radius."""
    turns = np.linspace(0.0, 2 * np.pi, max(12, int(radius * 2.5)), endpoint=False)
    return np.asarray(centre + radius * unit(turns))


def blob(centre: Array, radius: float, wobble: float, rng: Generator) -> Array:
    """Return the outline ``(n, 2)`` of an irregular disc; its radius varies by about the fraction ``wobble``."""
    turns = np.linspace(0.0, 2 * np.pi, max(12, int(radius * 2)), endpoint=False)
    waves = np.cos(np.outer(turns, _WAVES) + rng.uniform(0, 2 * np.pi, 3))
    radii = radius * (1.0 + waves @ (rng.normal(0, wobble, 3) / _WAVES))
    return np.asarray(centre + radii[:, None] * unit(turns))


def hull(points: Array) -> Array:
    """Return the convex hull ``(n, 2)`` of points ``(m, 2)``."""
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], np.float64)


def sweep(outline: Array, offset: Array) -> Array:
    """Return the convex hull of a convex ``outline`` ``(n, 2)`` and its copy shifted by ``offset``."""
    return hull(np.concatenate([outline, outline + offset]))


def smooth_noise(size: int, scale: float, rng: Generator) -> Field:
    """Draw noise ``(size, size)`` with a variance of about 1 and features of about ``scale`` px."""
    cells = max(4, int(np.ceil(size / scale)) + 3)
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    side = max(size, int(np.ceil(cells * scale)))
    field = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[:size, :size]
    return np.ascontiguousarray(field) * np.float32(1.3)


def fractal_noise(size: int, coarsest: float, octaves: int, rng: Generator) -> Field:
    """Sum noise fields ``(size, size)``; each has half the scale and 0.6 times the amplitude of the previous field."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        total += np.float32(0.6**octave) * smooth_noise(size, max(1.0, coarsest / 2**octave), rng)
    return total / np.float32(np.sqrt(sum(0.36**octave for octave in range(octaves))))
