"""Measure how round the objects inside boxes are, compared with random places in the image.

Boxes are ``(N, 4)`` float32 xyxy in pixels of the image, unless stated otherwise.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.tiling import tile_grid

Floats = NDArray[np.float32]

ANGLES = 32
"""Number of points on an ellipse, starting at -45 degrees."""
FLAT = 2.0
"""Usual gradient without an edge, in grey levels per pixel. Much weaker gradients have a roundness near 0."""
EDGE_MARGIN = 1.0
"""Usual distance, in pixels, between the edge of an object and the sides of a box drawn by hand."""
NEARBY = (-0.1, 0.0, 0.1)
"""Shifts of a box in x and in y that :func:`roundness_nearby` tries, in box sides."""
NEARBY_SIZES = (0.85, 1.0, 1.2)
"""Factors by which :func:`roundness_nearby` assumes that a box is too large."""
SAMPLE = 60
"""Number of boxes from which the share of round boxes is estimated."""
SUSPECT = 0.53
"""Result of :func:`roundness_nearby` below which a box is assumed to contain no round object."""
BLOCK = 30_000
"""Maximum side, in pixels, of the parts of a large image. OpenCV requires sides below 2 ** 15."""
AT_ONCE = 1000
"""Number of boxes that are measured at once, so that their points fit into the processor cache."""
PLACES = 300
"""Number of random boxes from which the roundness at random places is estimated."""

_angle = (np.arange(ANGLES) + 0.5) / ANGLES * 2 * np.pi - np.pi / 4
COS, SIN = np.cos(_angle).astype(np.float32), np.sin(_angle).astype(np.float32)


@dataclass(frozen=True)
class GradientField:
    """Image and its gradients.

    Attributes:
        grey: ``(H, W)`` uint8 image.
        sigma: standard deviation, in pixels, of the Gaussian that smooths the image.
    """

    grey: NDArray[np.uint8]
    sigma: float = 1.0

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> "GradientField":
        """Return the field of RGB ``pixels`` ``(H, W, 3)``."""
        return cls(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8))

    @cached_property
    def vectors(self) -> Floats:
        """``(H, W, 2)`` float32 gradients of the smoothed image in x and y, in grey levels per pixel."""
        smooth = cv2.GaussianBlur(self.grey.astype(np.float32), (0, 0), self.sigma)
        parts = [cv2.Scharr(smooth, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0)]
        return np.asarray(cv2.merge(parts), dtype=np.float32)

    def blurred(self, sigma: float) -> "GradientField":
        """Smooth the image by a further Gaussian of ``sigma`` pixels, so that an edge has an effect farther away."""
        return GradientField(self.grey, math.hypot(self.sigma, sigma))

    def reduced(self, factor: int) -> "GradientField":
        """Reduce the image by ``factor``, without the remaining pixels at the right and the bottom."""
        if factor == 1:
            return self
        height, width = (max(side // factor, 1) for side in self.grey.shape)
        whole = self.grey[: height * factor, : width * factor]
        return GradientField(np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8))

    def at(self, x: Floats, y: Floats) -> Floats:
        """Interpolate the gradients ``(N, K, 2)`` at pixel positions ``(N, K)``; they are 0 outside the image."""
        height, width = self.grey.shape
        # parts overlap by 2 px for the interpolation; later parts overwrite the border of earlier parts
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
    """Measure the roundness of the object in each box from the image gradient along the ellipse inscribed in the box.

    The roundness is ``abs(mean(normal)) / (mean(magnitude) + FLAT)``, where ``normal`` is the component of the gradient
    perpendicular to the ellipse. The gradient is sampled at every ``sparse``-th of :data:`ANGLES` points.

    Returns:
        ``(N,)`` in [0, 1]: 1 for a perfect disc, about 0.2 for random places, 0 outside the image.
    """
    cos, sin = COS[::sparse], SIN[::sparse]
    share = np.empty(len(boxes), dtype=np.float32)
    for start in range(0, len(boxes), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        low, high = np.hsplit(boxes[part].astype(np.float32, copy=False), 2)
        centre, radius = (low + high) / 2, np.abs(high - low) / 2
        along_x, along_y = radius[:, 1:] * cos, radius[:, :1] * sin  # normal of the ellipse, not normalized
        length = np.sqrt(along_x**2 + along_y**2) + 1e-6
        gradient = field.at(centre[:, :1] + radius[:, :1] * cos, centre[:, 1:] + radius[:, 1:] * sin)
        x, y = gradient[..., 0], gradient[..., 1]
        radial, magnitude = (x * along_x + y * along_y) / length, np.sqrt(x**2 + y**2)
        share[part] = np.abs(radial.mean(axis=1)) / (magnitude.mean(axis=1) + FLAT)
    return share


def tightened(boxes: Floats, size: float = 1.0) -> Floats:
    """Shrink boxes to the edge of the object: divide by ``size``, then move each side in by :data:`EDGE_MARGIN`.

    The second step leaves at least 0.4 of the width and height.
    """
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 / size
    half = np.maximum(half - EDGE_MARGIN, 0.4 * half)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def roundness_nearby(field: GradientField, boxes: Floats) -> Floats:
    """Measure the maximum roundness of each box over small changes of its position and size.

    Boxes drawn by hand may be slightly shifted, too large or too small.

    Returns:
        ``(N,)`` in [0, 1]. At random places, it is also higher than :func:`roundness`.
    """
    best: Floats = np.zeros(len(boxes), dtype=np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    for x, y, size in product(NEARBY, NEARBY, NEARBY_SIZES):
        moved = boxes + np.tile(sides * np.array([x, y], dtype=np.float32), 2)
        best = np.maximum(best, roundness(field, tightened(moved, size=size)))
    return best


def settled(field: GradientField, boxes: Floats) -> float:
    """Return the share of boxes with a round object at or near their position; it is close to 1 for correct boxes."""
    sample = boxes[:: -(-len(boxes) // SAMPLE)]
    return float((roundness_nearby(field, sample) >= SUSPECT).mean())


def anywhere(field: GradientField, sides: Floats, rng: np.random.Generator) -> Floats:
    """Place boxes with sides ``(N, 2)`` at random in the image; return about :data:`PLACES` boxes, at least ``N``."""
    many = np.tile(sides, (max(1, PLACES // len(sides)), 1))
    corner = rng.uniform(0, 1, many.shape) * np.maximum(field.grey.shape[::-1] - many, 1)
    return np.asarray(np.concatenate([corner, corner + many], axis=1), np.float32)


def chance_of(field: GradientField, sides: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Place boxes with sides ``(N, 2)`` at random; return the mean and standard deviation of their roundness."""
    values = roundness(field, tightened(anywhere(field, sides, rng)))
    return float(values.mean()), float(values.std())
