"""Estimate the ground resolution of a scene from the detections at several magnifications.

At the correct magnification, scores are high, and magnifications half an octave apart give the same boxes. If the
magnification is too small, the detector finds few boxes. If it is too large, the detector finds many boxes with low
scores. In tank-free scenes, no magnification gives high scores and the same boxes as its neighbours.

The agreement of a box is its largest IoU with the boxes of a neighbouring magnification, averaged over both neighbours.
The evidence for a magnification is the sum of ``max(score * agreement - REQUIRED, -MOST_AGAINST)`` over its boxes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.imagery import SceneImage
from oil_storage.inference.patches import Search, search_patches
from oil_storage.iou import iou_matrix
from oil_storage.merging import Detections

ZOOMS = tuple(2.0 ** (step / 2) for step in range(-8, 4))
"""Magnifications in ascending order, half an octave apart."""
SMALL, GAP = 0.475, 0.05
"""Longest side of magnified scenes that share an image, and the distance between them, as shares of its side."""
FAINT = 0.7
"""Fraction of the score threshold below which detections are ignored."""
REQUIRED = 0.6
"""Product of score and agreement at which a box contributes no evidence."""
MOST_AGAINST = 0.3
"""Maximum evidence of one box against a magnification."""
LEAST, CLEAR = 0.2, 2.0
"""Minimum evidence for tanks, which tank-free images rarely reach, and for an estimate."""
BOUNDS, BOUNDS_TOGETHER = (-5.0, 8.0), (-3.0, 5.0)
"""Limits to which the evidence of a scene is clipped: for its own estimate, and in the sum over a folder."""
NEIGHBOURS = 1.0
"""Weight of the mean evidence of the folder, relative to the scene's own evidence."""
LEAN = 0.35
"""Bias of the magnification with the most evidence, in octaves; it is subtracted from the estimate."""


@dataclass(frozen=True)
class Estimate:
    """Estimated magnification of a scene.

    Attributes:
        zoom: magnification.
        evidence: evidence in the scene, roughly the number of confident detections.
    """

    zoom: float
    evidence: float


@dataclass(frozen=True, eq=False)
class Patch:
    """Magnified part of a scene.

    Attributes:
        region: part of the scene, ``(4,)`` xyxy in pixels of the scene.
        pixels: magnified pixels, ``(H, W, 3)`` RGB.
    """

    region: NDArray[np.int64]
    pixels: NDArray[np.uint8]


def evidence(image: SceneImage, search: Search, threshold: float, side: int) -> NDArray[np.float64]:
    """Measure the evidence for each of :data:`ZOOMS`; return 0 for magnifications that are not searched.

    The search begins with the smallest magnification. When the magnified scene exceeds ``side``, only the window with
    the highest sum of scores is searched further, and only boxes in it count. The search ends an octave after the
    magnification with the most evidence.

    Args:
        image: opened scene.
        search: detector.
        threshold: score threshold of the detector.
        side: side of all arrays that are searched, in pixels. The first search with another size would be slow.
    """
    overview = image.reduced(side)
    region = np.array([0, 0, image.width, image.height])
    longest = int(region[2:].max())
    small = [zoom for zoom in ZOOMS if longest * zoom <= SMALL * side]
    patches = [Patch(region, _resized(overview, region, zoom, side)) for zoom in small]
    levels = _search_all(patches, search, side, threshold)
    values = np.zeros(len(ZOOMS))
    for step in range(len(small), len(ZOOMS)):
        zoom = ZOOMS[step]
        if (region[2:] - region[:2]).max() * zoom > side:
            region = _densest(region, round(side / zoom), levels[-1] if levels else None)
        is_whole = longest * zoom <= side
        pixels = overview if is_whole else image.read(region, _size(region, zoom, side) if zoom < 1 else None)
        patch = Patch(region, _resized(pixels, region, zoom, side))
        levels += _search_all([patch], search, side, threshold)
        values[: step + 1] = list(_support([_inside(level, region) for level in levels]))
        best = int(values[: step + 1].argmax())
        if values[best] >= CLEAR and step >= best + 2:
            break
    return values


def _resized(pixels: NDArray[np.uint8], region: NDArray[np.int64], zoom: float, most: int) -> NDArray[np.uint8]:
    """Resize the pixels of a region to its size at a magnification, at most ``most``."""
    width, height = _size(region, zoom, most)
    interpolation = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def _size(region: NDArray[np.int64], zoom: float, most: int) -> tuple[int, int]:
    """Return the width and height of a region at a magnification, at most ``most``."""
    width, height = np.clip(((region[2:] - region[:2]) * zoom).round(), 1, most).astype(int).tolist()
    return width, height


def _search_all(patches: Sequence[Patch], search: Search, side: int, threshold: float) -> list[Detections]:
    """Detect in patches that fit into one image together; boxes are in pixels of the scene.

    Detections with scores below ``FAINT * threshold`` are dropped.
    """
    found = search_patches([patch.pixels for patch in patches], search, side, round(GAP * side))
    detections = []
    for patch, (boxes, scores) in zip(patches, found, strict=True):
        scale = (patch.region[2:] - patch.region[:2]) / np.array(patch.pixels.shape[1::-1])
        is_clear = scores >= FAINT * threshold
        scene = boxes[is_clear] * np.tile(scale, 2) + np.tile(patch.region[:2], 2)
        detections.append(Detections(scene.astype(np.float32), scores[is_clear]))
    return detections


def choose(own: NDArray[np.float64], folder: Sequence[NDArray[np.float64]]) -> Estimate | None:
    """Choose the magnification of a scene; return None if there is too little evidence.

    Args:
        own: evidence of the scene, see :func:`evidence`.
        folder: evidence of scenes of the same folder, which probably have the same resolution.
    """
    together = (
        np.sum([np.clip(values, *BOUNDS_TOGETHER) for values in folder], axis=0) if folder else np.zeros(len(ZOOMS))
    )
    if own.max() >= CLEAR:
        total = np.clip(own, *BOUNDS) + NEIGHBOURS * together / max(1, len(folder))
    elif together.max() >= CLEAR:
        total = together
    else:
        return None
    best = int(total.argmax())
    octaves = np.log2(ZOOMS[best]) + _vertex(total, best) / 2 - LEAN
    return Estimate(float(2.0**octaves), float(own.max()))


def _vertex(values: NDArray[np.float64], best: int) -> float:
    """Return the offset, in steps, of the vertex of a parabola through the best value and its neighbours."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, middle, after = np.maximum(values[best - 1 : best + 2], 0)
    curvature = before - 2 * middle + after
    return float((before - after) / (2 * curvature)) if curvature < 0 else 0.0


def _densest(region: NDArray[np.int64], side: int, detections: Detections | None) -> NDArray[np.int64]:
    """Return the square of ``side`` pixels in a region with the highest sum of scores; its middle if all are 0."""
    centre = (region[:2] + region[2:]) / 2
    if detections is not None and len(detections.boxes):
        centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
        near = np.abs(centres[:, None] - centres[None]).max(axis=2) < side / 2
        members = near[(near @ detections.scores).argmax()]
        centre = centres[members].mean(axis=0)
    size = np.minimum(side, region[2:] - region[:2])
    corner = np.clip((centre - size / 2).round(), region[:2], region[2:] - size).astype(np.int64)
    return np.concatenate([corner, corner + size])


def _inside(level: Detections, region: NDArray[np.int64]) -> Detections:
    centres = (level.boxes[:, :2] + level.boxes[:, 2:]) / 2
    is_inside = ((centres >= region[:2]) & (centres <= region[2:])).all(axis=1)
    return Detections(level.boxes[is_inside], level.scores[is_inside])


def _support(levels: Sequence[Detections]) -> Iterator[float]:
    """Yield the evidence for each level; a level has the boxes of one magnification."""
    for step, (boxes, scores) in enumerate(levels):
        neighbours = [levels[other].boxes for other in (step - 1, step + 1) if 0 <= other < len(levels)]
        if not len(boxes) or not neighbours:
            yield 0.0
            continue
        agreement = np.mean([iou_matrix(boxes, others).max(axis=1, initial=0) for others in neighbours], axis=0)
        yield float(np.maximum(scores * agreement - REQUIRED, -MOST_AGAINST).sum())
