"""Classify detection errors, and compute the average precision that each kind of error costs.

Source: Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", https://arxiv.org/abs/2008.08115.
Classification errors cannot occur, because there is only one class. Errors at the borders of tiles and scenes are an
additional kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.curves import average_precision
from oil_storage.evaluation.dense_coco import BINS
from oil_storage.evaluation.matching import Matched, SceneResult
from oil_storage.merging import BORDER

FOREGROUND = 0.5
BACKGROUND = 0.1
"""A detection is misplaced if its highest IoU with an object is between these limits."""


class Kind(StrEnum):
    """Kind of error."""

    LOCALISATION = "localisation"
    """A detection whose highest IoU with an object is between 0.1 and 0.5."""
    DUPLICATE = "duplicate"
    """A detection of an object that is already matched to a detection with a higher score."""
    BACKGROUND = "background"
    """A detection whose IoU with every object is below 0.1."""
    MISSED = "missed"
    """An object without a matching or misplaced detection."""
    BORDER = "cut by the border"
    """A localisation error or a missed object, if the object is cut by a border; see :func:`cut_by_border`."""


@dataclass(frozen=True)
class Errors:
    """Errors in one scene.

    Attributes:
        false: kind of error of each detection; None if the detection is correct or below the score threshold.
        missed: kind of error of each object; None if the object has a matching or misplaced detection.
    """

    false: list[Kind | None]
    missed: list[Kind | None]


def classify(scene: Matched, threshold: float = 0.0) -> Errors:
    """Classify the incorrect detections and the missed objects of a scene.

    Args:
        scene: detections, matched to the objects of the scene.
        threshold: score threshold; detections with lower scores are ignored.
    """
    counts = scene.scores >= threshold
    matched = np.where(counts, scene.at[0], -1)
    objects = len(scene.result.truth)
    cut = cut_by_border(scene.result)
    detected = set(matched[matched >= 0].tolist())
    explained: set[int] = set()
    false: list[Kind | None] = []
    for index in range(len(scene.scores)):
        if matched[index] >= 0 or not counts[index]:
            false.append(None)
            continue
        best = int(scene.ious[index].argmax()) if objects else -1
        overlap = scene.ious[index, best] if objects else 0.0
        if overlap >= FOREGROUND:
            false.append(Kind.DUPLICATE)
        elif overlap >= BACKGROUND:
            false.append(Kind.BORDER if cut[best] else Kind.LOCALISATION)
            explained.add(best)
        else:
            false.append(Kind.BACKGROUND)
    missed = [
        None if number in detected | explained else Kind.BORDER if cut[number] else Kind.MISSED
        for number in range(objects)
    ]
    return Errors(false, missed)


def cut_by_border(result: SceneResult) -> NDArray[np.bool_]:
    """Return ``(N,)``, True for objects that touch the border of the scene or that no tile contains completely."""
    edges = np.array([[0, 0, result.width, result.height]])
    truth, windows = result.truth[:, None].astype(float), edges if result.windows is None else result.windows
    overhang = np.concatenate([windows[None, :, :2] - truth[..., :2], truth[..., 2:] - windows[None, :, 2:]], axis=-1)
    to_edge = np.concatenate([truth[:, 0, :2], edges[:, 2:] - truth[:, 0, 2:]], axis=-1)
    is_cut: NDArray[np.bool_] = (overhang.max(axis=2).min(axis=1) > 0) | (to_edge.min(axis=1) < BORDER)
    return is_cut


def lost_ap50(scenes: Sequence[Matched]) -> dict[Kind, float]:
    """Compute how much AP50 would rise if all errors of one kind were corrected, for each kind separately.

    For each unmatched object, the misplaced detection with the highest score becomes correct. All other incorrect
    detections and missed objects of the kind are removed. The gains do not add up to the total loss.

    Returns:
        dict: gain of each kind; nan if there are no objects.
    """
    errors = [classify(scene) for scene in scenes]
    every = np.concatenate([np.zeros(0, np.float32), *(scene.scores for scene in scenes)])
    right = np.concatenate([np.zeros(0, bool), *(scene.right for scene in scenes)])
    total = sum(len(scene.result.truth) for scene in scenes)
    before = average_precision(every, right, total)
    gains = {}
    for kind in Kind:
        scores, corrected, objects = [], [], total
        for scene, scene_errors in zip(scenes, errors, strict=True):
            is_right, remains = scene.right.copy(), np.ones(len(scene.scores), bool)
            taken = set(scene.at[0][is_right].tolist())
            for index in (number for number, error in enumerate(scene_errors.false) if error is kind):
                best = int(scene.ious[index].argmax()) if len(scene.result.truth) else -1
                if kind in (Kind.LOCALISATION, Kind.BORDER) and best not in taken:
                    taken.add(best)
                    is_right[index] = True
                else:
                    remains[index] = False
            scores.append(scene.scores[remains])
            corrected.append(is_right[remains])
            objects -= scene_errors.missed.count(kind)
        # if all objects were missed and are removed, AP is undefined and counts as 1
        after = average_precision(np.concatenate(scores), np.concatenate(corrected), objects)
        gains[kind] = (1.0 if total and not objects else after) - before
    return gains


def count_by_size(scenes: Sequence[Matched], errors: Sequence[Errors]) -> dict[str, dict[str, int]]:
    """Count the errors by size bin and kind. The size is the area of the incorrect detection or missed object."""
    counts = {name: dict.fromkeys(map(str, Kind), 0) for name in BINS}
    for scene, scene_errors in zip(scenes, errors, strict=True):
        boxes = np.concatenate([scene.boxes, scene.result.truth])
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        for area, kind in zip(areas, [*scene_errors.false, *scene_errors.missed], strict=True):
            if kind is not None:
                counts[next(name for name, (lower, upper) in BINS.items() if lower <= area < upper)][kind] += 1
    return counts
