"""Estimate the ground resolution of a scene from the detections at several magnifications.

At the correct magnification, a detector is confident, and magnifications half an octave apart give the same boxes. If
the magnification is too small, the detector finds few boxes. If it is too large, the detector finds many boxes with low
scores. Tank-free scenes give no evidence for any magnification.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.imagery import SceneImage
from oil_storage.merging import Detections

ZOOMS = tuple(2.0 ** (step / 2) for step in range(-8, 4))
"""Magnifications in ascending order, half an octave apart."""
WHOLE, WINDOW = 1280, 640
"""Longest side of a scene that is searched whole, and side of the window that is searched otherwise; pixels after
magnification."""
FAINT = 0.7
"""Share of the score threshold below which detections are ignored."""
REQUIRED = 0.6
"""Score times agreement at which a detection is neither for nor against a magnification."""
MOST_AGAINST = 0.3
"""Largest evidence of one detection against a magnification."""
CLEAR, CLEAR_TOGETHER = 0.5, 2.0
"""Least evidence of a scene, and of the scenes of a folder together, for an estimate."""
BOUNDS, BOUNDS_TOGETHER = (-5.0, 8.0), (-3.0, 5.0)
"""Limits of the evidence of one scene, alone and as a member of its folder."""
NEIGHBOURS = 1.0
"""Weight of the mean evidence of the folder beside a scene's own."""
LEAN = 0.35
"""Octaves by which the evidence prefers magnifications that are too large."""

Search = Callable[[NDArray[np.uint8], float], Detections]
"""Function that detects in an array at a magnification; boxes are in pixels of the array."""


@dataclass(frozen=True)
class Estimate:
    """Estimated magnification, and the evidence for it: roughly a number of confident detections."""

    zoom: float
    evidence: float


def evidence(image: SceneImage, search: Search, threshold: float) -> NDArray[np.float64]:
    """Measure the evidence for each of :data:`ZOOMS`; 0 for those that need not be searched.

    The search begins with the smallest magnification. A scene that becomes too large is replaced by the window with the
    highest sum of scores; evidence is counted in the last window. The search ends an octave after the best one.

    Args:
        image: opened scene.
        search: detector.
        threshold: score threshold of the detector.
    """
    region = np.array([0, 0, image.width, image.height])
    overview = image.reduced(WHOLE)
    levels: list[Detections] = []
    values = np.zeros(len(ZOOMS))
    for step, zoom in enumerate(ZOOMS):
        whole = (region == (0, 0, image.width, image.height)).all()
        if (region[2:] - region[:2]).max() * zoom > (WHOLE if whole else WINDOW):
            region = _densest(region, round(WINDOW / zoom), levels[-1] if levels else None)
            whole = False
        pixels = overview if whole else image.read(region)
        factor = (region[2] - region[0]) / pixels.shape[1]
        if zoom * factor < 1:
            pixels = _shrunk(pixels, zoom * factor)
            factor = (region[2] - region[0]) / pixels.shape[1]
        boxes, scores = search(pixels, zoom * factor)
        is_counted = scores >= FAINT * threshold
        corner = np.tile(region[:2], 2)
        levels.append(Detections((boxes[is_counted] * factor + corner).astype(np.float32), scores[is_counted]))
        values[: step + 1] = list(_support([_inside(level, region) for level in levels]))
        best = int(values[: step + 1].argmax())
        if values[best] >= CLEAR and step >= best + 2:
            break
    return values


def choose(own: NDArray[np.float64], folder: Sequence[NDArray[np.float64]]) -> Estimate | None:
    """Choose the magnification of a scene; None if there is no evidence for any.

    Args:
        own: evidence of the scene, see :func:`evidence`.
        folder: evidence of scenes of the same folder, which probably have the same resolution.
    """
    together = (
        np.sum([np.clip(values, *BOUNDS_TOGETHER) for values in folder], axis=0) if folder else np.zeros(len(ZOOMS))
    )
    if own.max() >= CLEAR:
        total = np.clip(own, *BOUNDS) + NEIGHBOURS * together / max(1, len(folder))
    elif together.max() >= CLEAR_TOGETHER:
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


def _shrunk(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _inside(level: Detections, region: NDArray[np.int64]) -> Detections:
    centres = (level.boxes[:, :2] + level.boxes[:, 2:]) / 2
    is_inside = ((centres >= region[:2]) & (centres <= region[2:])).all(axis=1)
    return Detections(level.boxes[is_inside], level.scores[is_inside])


def _support(levels: Sequence[Detections]) -> Iterator[float]:
    """Yield the evidence for each level: scores times the mean IoU with the best boxes of the neighbouring levels."""
    for step, (boxes, scores) in enumerate(levels):
        neighbours = [levels[other].boxes for other in (step - 1, step + 1) if 0 <= other < len(levels)]
        if not len(boxes) or not neighbours:
            yield 0.0
            continue
        agreement = np.mean([_best_iou(boxes, others) for others in neighbours], axis=0)
        yield float(np.maximum(scores * agreement - REQUIRED, -MOST_AGAINST).sum())


def _best_iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    if not len(others):
        return np.zeros(len(boxes))
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2]), np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(corner[1] - corner[0], 0, None).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others)]
    return np.asarray((shared / (areas[0][:, None] + areas[1][None] - shared)).max(axis=1), np.float64)
