"""Points, outlines and noise fields. Coordinates are (x, y) px; pixel i covers [i, i + 1)."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Field = NDArray[np.float32]

_WAVES = np.array([2.0, 3.0, 5.0])


def unit(angle: float) -> Array:
    """Unit vector ``(2,)`` at ``angle`` radians from the x axis towards the y axis (down)."""
    return np.array([math.cos(angle), math.sin(angle)])


def rectangle(centre: Array, width: float, height: float, angle: float) -> Array:
    """Corners ``(4, 2)`` of a rectangle turned by ``angle`` radians."""
    x, y, cosine, sine = float(centre[0]), float(centre[1]), math.cos(angle) / 2, math.sin(angle) / 2
    ax, ay, bx, by = width * cosine, width * sine, -height * sine, height * cosine
    return np.array(
        [[x - ax - bx, y - ay - by], [x + ax - bx, y + ay - by], [x + ax + bx, y + ay + by], [x - ax + bx, y - ay + by]]
    )


def circle(centre: Array, radius: float) -> Array:
    """Outline ``(n, 2)`` of a disc, fine enough for its size."""
    turns = np.linspace(0.0, 2 * np.pi, max(12, int(radius * 2.5)), endpoint=False)
    return np.asarray(centre + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1))


def wobbly_circle(centre: Array, radius: float, wobble: float, rng: np.random.Generator) -> Array:
    """Outline ``(n, 2)`` of a disc whose radius strays by the fraction ``wobble``."""
    turns = np.linspace(0.0, 2 * np.pi, max(12, int(radius * 2)), endpoint=False)
    waves = np.cos(np.outer(turns, _WAVES) + rng.uniform(0, 2 * np.pi, 3))
    radii = radius * (1.0 + waves @ (rng.normal(0, wobble, 3) / _WAVES))
    return np.asarray(centre + radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1))


def sweep(outline: Array, offset: Array) -> Array:
    """Convex outline covered by moving a convex ``outline`` ``(n, 2)`` along ``offset``: a wall seen, a shadow cast."""
    points = np.concatenate([outline, outline + offset]).astype(np.float32)
    return np.asarray(cv2.convexHull(points)[:, 0], np.float64)


def smooth_noise(size: int, scale: float, rng: np.random.Generator) -> Field:
    """Noise ``(size, size)`` of about unit variance that varies over ``scale`` px."""
    cells = max(4, int(np.ceil(size / scale)) + 3)
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    span = int(np.ceil(cells * scale))
    side = max(size, span)
    field = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[:size, :size]
    return np.ascontiguousarray(field) * np.float32(1.3)


def fractal_noise(size: int, coarsest: float, octaves: int, rng: np.random.Generator) -> Field:
    """Sum ``(size, size)`` of smooth noises, each of half the scale and 0.6 of the strength of the one before."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        total += np.float32(0.6**octave) * smooth_noise(size, max(1.0, coarsest / 2**octave), rng)
    return total / np.float32(np.sqrt(sum(0.36**octave for octave in range(octaves))))
