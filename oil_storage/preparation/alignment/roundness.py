"""How round the image is where a box says that something round is."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

ANGLES = 32
"""Points on an ellipse, a multiple of four; they start at -45 degrees, so that each quarter of them is a side."""
FLAT = 2.0
"""Grey levels a pixel: gradients below it count as no edge."""
EDGE_MARGIN = 1.0
"""Pixels on each side by which people draw boxes larger than the strongest edge."""
REMAP_ROWS = 30_000  # cv2.remap takes fewer than 2 ** 15 rows

_angle = (np.arange(ANGLES) + 0.5) / ANGLES * 2 * np.pi - np.pi / 4
COS, SIN = np.cos(_angle).astype(np.float32), np.sin(_angle).astype(np.float32)


@dataclass(frozen=True)
class GradientField:
    """Gradients of an image.

    Attributes:
        x: ``(H, W)`` float32, grey levels a pixel to the right.
        y: ``(H, W)`` float32, downwards.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], sigma: float = 1.0) -> "GradientField":
        """Gradients of ``(H, W, 3)`` uint8 RGB ``pixels``, smoothed by a Gaussian of ``sigma`` pixels."""
        grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), sigma)
        return cls(
            np.asarray(cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32), dtype=np.float32),
            np.asarray(cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32), dtype=np.float32),
        )

    def blurred(self, sigma: float) -> "GradientField":
        """Smoothed by a Gaussian of ``sigma`` pixels, so that an edge is met from farther away."""
        parts = (np.asarray(cv2.GaussianBlur(part, (0, 0), sigma), dtype=np.float32) for part in (self.x, self.y))
        return GradientField(*parts)

    def at(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gradients at ``(N, K)`` points, pixels with the origin at the image's corner; 0 outside the image."""
        parts = []
        for field in (self.x, self.y):
            rows = [
                cv2.remap(field, x[i : i + REMAP_ROWS] - 0.5, y[i : i + REMAP_ROWS] - 0.5, cv2.INTER_LINEAR)
                for i in range(0, len(x), REMAP_ROWS)
            ]
            parts.append(np.concatenate(rows) if rows else np.zeros_like(x))
        return parts[0], parts[1]


def radial_gradients(
    field: GradientField, boxes: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gradients along the ellipses inscribed in boxes.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy, pixels of the image.

    Returns:
        tuple: the part along the outward normal and the whole magnitude, each ``(N, ANGLES)``; quarters of the angles
        are the right, bottom, left and top side.
    """
    boxes = boxes.astype(np.float32, copy=False)
    centre, radius = (boxes[:, :2] + boxes[:, 2:]) / 2, np.abs(boxes[:, 2:] - boxes[:, :2]) / 2
    along_x, along_y = radius[:, 1:] * COS, radius[:, :1] * SIN  # the ellipse's normal, not yet of unit length
    length = np.hypot(along_x, along_y) + 1e-6
    x, y = field.at(centre[:, :1] + radius[:, :1] * COS, centre[:, 1:] + radius[:, 1:] * SIN)
    return (x * along_x + y * along_y) / length, np.hypot(x, y)


def roundness(field: GradientField, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the gradient along each inscribed ellipse that points to the centre, or away from it.

    Args:
        field: of the image.
        boxes: ``(N, 4)`` xyxy, pixels of the image.

    Returns:
        ``(N,)`` in [0, 1]; of a perfect disc 1, of any other place about 0.2, outside the image 0.
    """
    radial, magnitude = radial_gradients(field, boxes)
    share: NDArray[np.float32] = np.abs(radial.mean(axis=1)) / (magnitude.mean(axis=1) + FLAT)
    return share


def tightened(boxes: NDArray[np.float32], margin: float = EDGE_MARGIN, size: float = 1.0) -> NDArray[np.float32]:
    """Boxes on the edge: without the margin that people leave, at least 0.4 of the size.

    Args:
        boxes: ``(N, 4)`` xyxy, pixels.
        margin: pixels on each side.
        size: how many times too large the boxes are.

    Returns:
        ``(N, 4)`` float32 xyxy about the same centres.
    """
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 / size
    half = np.maximum(half - margin, 0.4 * half)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
