"""Fingerprints of scenes that tell their ground from any other: a small picture and points that can be found again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

REDUCED_SIDE = 640
"""Points are sought in the scene reduced to about this short side; they take time with its area."""
LONGEST_SIDE = 8000
"""and its long side, at most; OpenCV takes no image with a side of 2 ** 15, and SIFT doubles it."""
POINTS = 1200
"""A strip of 5 % of the scene then holds some 60, of which a third is found again in another JPEG of it."""
COARSE_POINTS = 250
COARSE_SIZE = 8.0
"""So many of the points are at least so large, in reduced pixels: a small crop, reduced less, has these in common with
its scene."""
SPREAD = 32
"""Reduced pixels; cells of that side give their strongest points in turn, or a town would leave none to the fields at
the border that another scene shares."""
MIN_CONTRAST = 0.02
"""SIFT's threshold; half of OpenCV's, so that hazy scenes have their points too."""

FLATTEN_SIGMA = 8.0
"""Brightness and contrast are evened out within so many reduced pixels."""
FLATTEN_FLOOR = 4.0
"""Grey levels; what varies less, as water does, stays faint: it is noise and JPEG."""
CONTRAST = 40
"""Grey levels of the picture that stand for one local standard deviation."""
EMPTY_SIDE = 9
"""Reduced pixels; black or white areas of that side are no ground but the outside of a raster, or a cloud."""
RINGING = 5
"""Reduced pixels about an empty area that a JPEG may have disturbed."""

VECTOR = 4 * 4 * 8
"""Numbers of a SIFT descriptor: rows x columns x directions."""
MIRRORED = np.arange(VECTOR).reshape(4, 4, 8)[::-1, :, -np.arange(8) % 8].ravel()
"""Which number of a descriptor stands where in that of the mirrored point; its rows lie across its direction."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A quarter of a megabyte, whatever the scene's size.

    Pixel coordinates count from the outer corner of the first pixel.

    Attributes:
        scene_id: the scene.
        width: of the scene, pixels, less the few that make no whole pixel of the picture.
        height: likewise.
        reduction: the scene's pixels, along a side, in one pixel of the image where the points were sought.
        picture: ``(height / reduction / 2, width / reduction / 2)`` uint8: the scene with brightness and contrast
            evened out, 128 on average; 0 where there is no ground.
        points: ``(N, 4)`` float32: x, y and diameter in pixels of the scene, direction in radians.
        descriptors: ``(N, 128)`` uint8 SIFT (Lowe, 2004).
    """

    scene_id: str
    width: int
    height: int
    reduction: int
    picture: NDArray[np.uint8]
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]

    def mirrored(self) -> "Fingerprint":
        """The fingerprint that the scene would have with left and right exchanged."""
        points = self.points * np.array((-1, 1, 1, -1), np.float32) + np.array((self.width, 0, 0, np.pi), np.float32)
        picture = np.ascontiguousarray(self.picture[:, ::-1])
        return replace(self, picture=picture, points=points, descriptors=self.descriptors[:, MIRRORED])


def fingerprint(scene_id: str, pixels: NDArray[np.uint8]) -> Fingerprint:
    """Take the fingerprint of a scene's pixels ``(H, W, 3)`` RGB, at least 2 px a side."""
    short, long = sorted(pixels.shape[:2])
    reduction = max(round(short / REDUCED_SIDE), -(-long // LONGEST_SIDE), 1)
    height, width = (side // (2 * reduction) * 2 * reduction for side in pixels.shape[:2])
    grey = _reduce(cv2.cvtColor(pixels[:height, :width], cv2.COLOR_RGB2GRAY), reduction)
    ground = _ground(grey)
    flat = _flatten(grey, ground)
    points, descriptors = _points(flat, ground)
    picture = _reduce(flat, 2)
    picture[_reduce(ground, 2) < 255] = 0
    points[:, :3] *= reduction
    return Fingerprint(scene_id, width, height, reduction, picture, points, descriptors)


def _reduce(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _ground(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 255 where there is ground, 0 in and about large black or white areas."""
    extreme = ((grey < 2) | (grey > 253)).astype(np.uint8)
    empty = cv2.morphologyEx(extreme, cv2.MORPH_OPEN, np.ones((EMPTY_SIDE, EMPTY_SIDE), np.uint8))
    empty = cv2.dilate(empty, np.ones((2 * RINGING + 1, 2 * RINGING + 1), np.uint8))
    return np.asarray((1 - empty) * np.uint8(255))


def _flatten(grey: NDArray[np.uint8], ground: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Subtract the local mean and divide by the local standard deviation, both of the ground alone."""
    is_ground = (ground > 0).astype(np.float32)

    def local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(values * is_ground, None, FLATTEN_SIGMA) / weight)

    weight = np.maximum(cv2.GaussianBlur(is_ground, None, FLATTEN_SIGMA), np.float32(1e-6))
    values = grey.astype(np.float32)
    detail = (values - local_mean(values)) * is_ground
    detail *= CONTRAST / (np.sqrt(local_mean(detail * detail)) + FLATTEN_FLOOR)
    return np.asarray(np.clip(detail + 128, 1, 255).astype(np.uint8))


def _points(flat: NDArray[np.uint8], ground: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Detect points ``(N, 4)``, in reduced pixels, and their descriptors ``(N, 128)``."""
    sift = cv2.SIFT.create(contrastThreshold=MIN_CONTRAST, enable_precise_upscale=True)
    keypoints = sorted(sift.detect(flat, ground), key=lambda point: -point.response)
    if not keypoints:
        return np.empty((0, 4), np.float32), np.empty((0, VECTOR), np.uint8)
    coarse = _spread([point for point in keypoints if point.size >= COARSE_SIZE], COARSE_POINTS)
    fine = _spread([point for point in keypoints if point.size < COARSE_SIZE], POINTS - len(coarse))
    kept, descriptors = sift.compute(flat, fine + coarse)
    points = [(point.pt[0] + 0.5, point.pt[1] + 0.5, point.size, np.radians(point.angle)) for point in kept]
    return np.array(points, np.float32), descriptors.astype(np.uint8)


def _spread(strongest_first: Sequence[cv2.KeyPoint], number: int) -> list[cv2.KeyPoint]:
    """Choose ``number`` points: the strongest of each cell, then the second of each, and so on."""
    taken: Counter[tuple[int, int]] = Counter()
    ranks = []
    for point in strongest_first:
        cell = int(point.pt[0] // SPREAD), int(point.pt[1] // SPREAD)
        ranks.append(taken[cell])
        taken[cell] += 1
    return [strongest_first[index] for index in np.argsort(ranks, kind="stable")[:number]]
