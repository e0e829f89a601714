"""Roundness of the image inside boxes, and of other places by chance.

Boxes are (N, 4) float32 xyxy, pixels of the image, unless something else is said.
"""

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.tiling import tile_grid

Floats = NDArray[np.float32]

ANGLES = 32
"""Points on an ellipse, from -45 degrees on."""
FLAT = 2.0
"""Grey levels a pixel: gradients below it count as no edge."""
EDGE_MARGIN = 1.0
"""Pixels on each side by which people draw boxes larger than the strongest edge."""
NEARBY = (-0.1, 0.0, 0.1)
"""Sides by which a box may have been drawn aside, in x and in y,"""
NEARBY_SIZES = (0.85, 1.0, 1.2)
"""and times by which it may be too large."""
SAMPLE = 60
"""Boxes that suffice for the share that are round."""
SUSPECT = 0.53
"""Boxes on nothing round: nowhere near them is roundness above that."""
BLOCK = 30_000
"""Pixels: OpenCV takes images with sides under 2 ** 15."""
AT_ONCE = 1000
"""Boxes whose points fit into a processor's cache."""

_angle = (np.arange(ANGLES) + 0.5) / ANGLES * 2 * np.pi - np.pi / 4
COS, SIN = np.cos(_angle).astype(np.float32), np.sin(_angle).astype(np.float32)


@dataclass(frozen=True)
class GradientField:
    """An image and its gradients.

    Attributes:
        grey: ``(H, W)`` uint8, the image.
        vectors: ``(H, W, 2)`` float32, grey levels a pixel to the right and downwards.
    """

    grey: NDArray[np.uint8]
    vectors: Floats

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], sigma: float = 1.0) -> "GradientField":
        """Gradients of ``(H, W, 3)`` uint8 RGB ``pixels``, smoothed by a Gaussian of ``sigma`` pixels."""
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
        parts = [cv2.Scharr(smooth, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0)]
        return cls(grey, np.asarray(cv2.merge(parts), dtype=np.float32))

    def blurred(self, sigma: float) -> "GradientField":
        """Smoothed by a Gaussian of ``sigma`` pixels, so that an edge is met from farther away."""
        return GradientField(self.grey, np.asarray(cv2.GaussianBlur(self.vectors, (0, 0), sigma), dtype=np.float32))

    def at(self, x: Floats, y: Floats) -> Floats:
        """``(N, K, 2)`` gradients at ``(N, K)`` points, pixels with the origin at the image's corner; 0 outside."""
        height, width = self.grey.shape
        # windows overlap by the neighbours between which to interpolate; later ones overwrite what earlier ones miss
        for left, top, right, bottom in tile_grid(width, height, BLOCK, overlap=2).tolist():
            window = self.vectors[top:bottom, left:right]
            part = np.asarray(cv2.remap(window, x - 0.5 - left, y - 0.5 - top, cv2.INTER_LINEAR), np.float32)
            if left == top == 0:
                gradients = part
            else:
                is_inside = ((x > left + 1) | (left == 0)) & ((y > top + 1) | (top == 0))
                np.copyto(gradients, part, where=is_inside[..., None])
        return gradients


def roundness(field: GradientField, boxes: Floats, sparse: int = 1) -> Floats:
    """Measure the share of the gradient along each inscribed ellipse that points to the centre, or away from it.

    The gradient is sampled at every ``sparse``-th angle.

    Returns:
        ``(N,)`` in [0, 1]: 1 for a perfect disc, about 0.2 for any other place, 0 outside the image.
    """
    cos, sin = COS[::sparse], SIN[::sparse]
    share = np.empty(len(boxes), dtype=np.float32)
    for start in range(0, len(boxes), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        low, high = np.hsplit(boxes[part].astype(np.float32, copy=False), 2)
        centre, radius = (low + high) / 2, np.abs(high - low) / 2
        along_x, along_y = radius[:, 1:] * cos, radius[:, :1] * sin  # the ellipse's normal, not yet of unit length
        length = np.sqrt(along_x**2 + along_y**2) + 1e-6
        gradient = field.at(centre[:, :1] + radius[:, :1] * cos, centre[:, 1:] + radius[:, 1:] * sin)
        x, y = gradient[..., 0], gradient[..., 1]
        radial, magnitude = (x * along_x + y * along_y) / length, np.sqrt(x**2 + y**2)
        share[part] = np.abs(radial.mean(axis=1)) / (magnitude.mean(axis=1) + FLAT)
    return share


def tightened(boxes: Floats, size: float = 1.0) -> Floats:
    """Shrink boxes that are ``size`` times too large to the edge about their centres, at most to 0.4 of their size."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 / size
    half = np.maximum(half - EDGE_MARGIN, 0.4 * half)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def roundness_nearby(field: GradientField, boxes: Floats) -> Floats:
    """Measure the roundest place by each box: people draw a little aside, a little large, a little small.

    Returns:
        ``(N,)`` in [0, 1], higher than :func:`roundness` by chance too.
    """
    best: Floats = np.zeros(len(boxes), dtype=np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    for x, y, size in product(NEARBY, NEARBY, NEARBY_SIZES):
        moved = boxes + np.tile(sides * np.array([x, y], dtype=np.float32), 2)
        best = np.maximum(best, roundness(field, tightened(moved, size=size)))
    return best


def settled(field: GradientField, boxes: Floats) -> float:
    """Return the share of the boxes that are round at or near their places: nearly all where they belong."""
    sample = boxes[:: -(-len(boxes) // SAMPLE)]
    return float((roundness_nearby(field, sample) >= SUSPECT).mean())


PLACES = 300
"""Boxes at random places that tell the roundness by chance."""


def chance_of(field: GradientField, sides: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Return mean and standard deviation of the roundness of boxes with sides ``(N, 2)`` at random places."""
    many = np.tile(sides, (max(1, PLACES // len(sides)), 1))
    corner = rng.uniform(0, 1, many.shape) * np.maximum(field.grey.shape[::-1] - many, 1)
    anywhere = roundness(field, tightened(np.concatenate([corner, corner + many], axis=1).astype(np.float32)))
    return float(anywhere.mean()), float(anywhere.std())
