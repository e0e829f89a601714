"""Fingerprints of scenes, which show whether two scenes share ground: a small picture and local features.

Reduced pixels are the pixels of the downsampled scene.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

REDUCED_SIDE = 640
"""Short side, in pixels, to which a scene is reduced."""
POINT_SIDE = 512
"""Short side, in pixels, to which it is reduced further for the detection of points, which takes most of the time."""
LONGEST_SIDE = 8000
"""Maximum long side of the reduced scene, in pixels. SIFT doubles it, and OpenCV requires sides below 2 ** 15."""
POINTS = 1200
"""Maximum number of points. A strip of 5 % of the scene then has about 60 points, and a third of these are found again
after JPEG compression."""
COARSE_POINTS = 250
"""Maximum number of coarse points. If one scene is a small crop of another, it is downsampled less. Only its coarse
points then match points of the larger scene."""
COARSE_SIZE = 8.0
"""Minimum diameter of coarse points, in pixels of the image with the points."""
SPREAD = 26
"""Side of the grid cells, in pixels of the image with the points, over which the points are distributed evenly."""
MIN_CONTRAST = 0.02
"""Contrast threshold of SIFT: half of the OpenCV default, for hazy scenes."""

FLATTEN_SIGMA = 8.0
"""Standard deviation, in reduced pixels, of the Gaussian window in which brightness and contrast are normalized."""
FLATTEN_FLOOR = 4.0
"""Grey levels added to the local standard deviation, so that noise on water stays faint."""
CONTRAST = 40
"""Contrast of the picture: number of grey levels per local standard deviation."""
EMPTY_SIDE = 9
"""Minimum side, in reduced pixels, of black or white areas that count as raster margin or cloud, not as ground."""
RINGING = 5
"""Width, in reduced pixels, of JPEG artefacts around these black or white areas."""

VECTOR = 4 * 4 * 8
"""Length of a SIFT descriptor: rows x columns x directions."""
MIRRORED = np.arange(VECTOR).reshape(4, 4, 8)[::-1, :, -np.arange(8) % 8].ravel()
"""Indices that reorder a descriptor into the descriptor of the mirrored point."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Fingerprint of a scene.

    A fingerprint takes about 250 kB, regardless of the size of the scene. Pixel coordinates start at the corner of the
    first pixel.

    Attributes:
        scene_id: id of the scene.
        width: width of the scene in pixels, reduced to a multiple of ``2 * reduction``, and then rounded.
        height: height of the scene in pixels, likewise.
        reduction: factor by which the scene was downsampled to detect the points.
        picture: ``(height / reduction / 2, width / reduction / 2)`` uint8 image of the scene with normalized brightness
            (mean 128) and contrast. It is 0 where there is no ground.
        points: ``(N, 4)`` float32: x, y and diameter in pixels of the scene, and direction in radians.
        descriptors: ``(N, 128)`` uint8 SIFT descriptors (Lowe, 2004).
    """

    scene_id: str
    width: int
    height: int
    reduction: float
    picture: NDArray[np.uint8]
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]

    def mirrored(self) -> "Fingerprint":
        """Return the fingerprint of the scene mirrored left-right."""
        points = self.points * np.array((-1, 1, 1, -1), np.float32) + np.array((self.width, 0, 0, np.pi), np.float32)
        picture = np.ascontiguousarray(self.picture[:, ::-1])
        return replace(self, picture=picture, points=points, descriptors=self.descriptors[:, MIRRORED])


def fingerprint(scene_id: str, pixels: NDArray[np.uint8]) -> Fingerprint:
    """Compute the fingerprint of a scene from RGB pixels ``(H, W, 3)`` with at least 2 px per side."""
    short, long = sorted(pixels.shape[:2])
    reduction = max(short / REDUCED_SIDE, long / LONGEST_SIDE, 1.0)
    halves = [int(round(side / reduction, 6)) // 2 for side in pixels.shape[:2]]
    height, width = (round(2 * half * reduction) for half in halves)
    grey = _resized(cv2.cvtColor(pixels[:height, :width], cv2.COLOR_RGB2GRAY), 2 * halves[0], 2 * halves[1])
    ground = _ground(grey)
    flat = _flatten(grey, ground)
    detail = min(POINT_SIDE / (2 * min(halves)), 1.0)
    point_sides = [round(2 * half * detail) for half in halves]
    points, descriptors = _points(_resized(flat, *point_sides), _resized(ground, *point_sides))
    points[:, :3] /= detail
    picture = _resized(flat, *halves)
    picture[_resized(ground, *halves) < 255] = 0
    points[:, :3] *= reduction
    return Fingerprint(scene_id, width, height, reduction, picture, points, descriptors)


def _resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def _ground(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a mask: 255 for ground, 0 in and around large black or white areas."""
    extreme = ((grey < 2) | (grey > 253)).astype(np.uint8)
    empty = cv2.morphologyEx(extreme, cv2.MORPH_OPEN, np.ones((EMPTY_SIDE, EMPTY_SIDE), np.uint8))
    empty = cv2.dilate(empty, np.ones((2 * RINGING + 1, 2 * RINGING + 1), np.uint8))
    return np.asarray((1 - empty) * np.uint8(255))


def _flatten(grey: NDArray[np.uint8], ground: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Normalize the grey levels of the ground by their local mean and standard deviation; set other pixels to 128."""
    is_ground = (ground > 0).astype(np.float32)

    def local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(values * is_ground, None, FLATTEN_SIGMA) / weight)

    weight = np.maximum(cv2.GaussianBlur(is_ground, None, FLATTEN_SIGMA), np.float32(1e-6))
    values = grey.astype(np.float32)
    detail = (values - local_mean(values)) * is_ground
    detail *= CONTRAST / (np.sqrt(local_mean(detail * detail)) + FLATTEN_FLOOR)
    return np.asarray(np.clip(detail + 128, 1, 255).astype(np.uint8))


def _points(flat: NDArray[np.uint8], ground: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Detect SIFT keypoints ``(N, 4)`` (x, y, diameter, angle in radians) and compute descriptors ``(N, 128)``."""
    sift = cv2.SIFT.create(contrastThreshold=MIN_CONTRAST, enable_precise_upscale=True)
    keypoints = sorted(sift.detect(flat, ground), key=lambda point: -point.response)
    if not keypoints:
        return np.empty((0, 4), np.float32), np.empty((0, VECTOR), np.uint8)
    coarse = _spread([point for point in keypoints if point.size >= COARSE_SIZE], COARSE_POINTS)
    fine = _spread([point for point in keypoints if point.size < COARSE_SIZE], POINTS - len(coarse))
    computed, descriptors = sift.compute(flat, fine + coarse)
    points = [(point.pt[0] + 0.5, point.pt[1] + 0.5, point.size, np.radians(point.angle)) for point in computed]
    return np.array(points, np.float32), descriptors.astype(np.uint8)


def _spread(strongest_first: Sequence[cv2.KeyPoint], number: int) -> list[cv2.KeyPoint]:
    """Select ``number`` points: the strongest point of each cell, then the second strongest of each cell, and so on."""
    count: Counter[tuple[int, int]] = Counter()
    ranks = []
    for point in strongest_first:
        cell = int(point.pt[0] // SPREAD), int(point.pt[1] // SPREAD)
        ranks.append(count[cell])
        count[cell] += 1
    return [strongest_first[index] for index in np.argsort(ranks, kind="stable")[:number]]
