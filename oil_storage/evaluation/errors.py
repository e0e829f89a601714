"""Why average precision is lost: what would be gained if one kind of error did not exist.

Source: Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", https://arxiv.org/abs/2008.08115,
for one class, so that nothing is classified wrongly; an error that a border between tiles or of the scene explains is a
kind of its own.
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
"""IoU: a detection below it is of no object; between both, of one that it misplaces."""


class Kind(StrEnum):
    """Of error."""

    LOCALISATION = "localisation"
    """A detection that overlaps an object by IoU 0.1 to 0.5."""
    DUPLICATE = "duplicate"
    """A detection of an object that another of a better score has found."""
    BACKGROUND = "background"
    """A detection of nothing."""
    MISSED = "missed"
    """An object that no detection overlaps by IoU 0.1, or whose detections are taken."""
    BORDER = "cut by the border"
    """A localisation error or a miss at a side where a tile or the scene ends."""


@dataclass(frozen=True)
class Errors:
    """Of a scene.

    Attributes:
        false: ``(M,)``: kind of each detection, None of right ones and of those below the threshold.
        missed: ``(N,)``: kind of each object that is not found, None of those found or explained by a detection's
            error.
    """

    false: list[Kind | None]
    missed: list[Kind | None]


def classify(one: Matched, threshold: float = 0.0) -> Errors:
    """Say of each wrong detection and missed object of a scene what is wrong.

    Args:
        one: the scene.
        threshold: detections of lower scores are not there.
    """
    counts = one.scores >= threshold
    matched = np.where(counts, one.at[0], -1)
    objects = len(one.result.truth)
    cut = cut_by_border(one.result)
    found = set(matched[matched >= 0].tolist())
    explained: set[int] = set()
    false: list[Kind | None] = []
    for index in range(len(one.scores)):
        if matched[index] >= 0 or not counts[index]:
            false.append(None)
            continue
        best = int(one.ious[index].argmax()) if objects else -1
        overlap = one.ious[index, best] if objects else 0.0
        if overlap >= FOREGROUND:
            false.append(Kind.DUPLICATE)
        elif overlap >= BACKGROUND:
            false.append(Kind.BORDER if cut[best] else Kind.LOCALISATION)
            explained.add(best)
        else:
            false.append(Kind.BACKGROUND)
    missed = [
        None if number in found | explained else Kind.BORDER if cut[number] else Kind.MISSED
        for number in range(objects)
    ]
    return Errors(false, missed)


def cut_by_border(result: SceneResult) -> NDArray[np.bool_]:
    """Objects ``(N,)`` that reach the scene's border, or that none of the tiles shows whole."""
    edges = np.array([[0, 0, result.width, result.height]])
    truth, windows = result.truth[:, None].astype(float), edges if result.windows is None else result.windows
    overhang = np.concatenate([windows[None, :, :2] - truth[..., :2], truth[..., 2:] - windows[None, :, 2:]], axis=-1)
    to_edge = np.concatenate([truth[:, 0, :2], edges[:, 2:] - truth[:, 0, 2:]], axis=-1)
    is_cut: NDArray[np.bool_] = (overhang.max(axis=2).min(axis=1) > 0) | (to_edge.min(axis=1) < BORDER)
    return is_cut


def lost_ap50(scenes: Sequence[Matched]) -> dict[Kind, float]:
    """What AP50 would gain if one kind of error were mended and all others left.

    Mending makes the best detection that misplaces an object right, and takes away its other ones, duplicates,
    detections of nothing, or objects that are missed. The gains need not add up to what is lost.

    Returns:
        dict: gain of each kind; nan where there is no object at all.
    """
    errors = [classify(one) for one in scenes]
    objects = sum(len(one.result.truth) for one in scenes)
    before = _ap50(scenes, [one.right for one in scenes], [np.ones(len(one.scores), bool) for one in scenes], objects)
    gained = {}
    for kind in Kind:
        right, kept, gone = [], [], 0
        for one, its in zip(scenes, errors, strict=True):
            is_right, stays = one.right, np.ones(len(one.scores), bool)
            taken = set(one.at[0][is_right].tolist())
            for index in (number for number, found in enumerate(its.false) if found is kind):
                best = int(one.ious[index].argmax()) if len(one.result.truth) else -1
                if kind in (Kind.LOCALISATION, Kind.BORDER) and best not in taken:
                    taken.add(best)
                    is_right[index] = True
                else:
                    stays[index] = False
            right.append(is_right)
            kept.append(stays)
            gone += sum(found is kind for found in its.missed)
        # where all objects are missed, nothing else is wrong
        gained[kind] = (_ap50(scenes, right, kept, objects - gone) if objects - gone or not objects else 1.0) - before
    return gained


def _ap50(
    scenes: Sequence[Matched], right: Sequence[NDArray[np.bool_]], kept: Sequence[NDArray[np.bool_]], objects: int
) -> float:
    scores = np.concatenate([one.scores[stays] for one, stays in zip(scenes, kept, strict=True)])
    return average_precision(scores, np.concatenate([a[b] for a, b in zip(right, kept, strict=True)]), objects)


def count_by_size(scenes: Sequence[Matched], errors: Sequence[Errors]) -> dict[str, dict[str, int]]:
    """Numbers of errors by kind in each of the size bins.

    A wrong detection counts where its own box belongs, a missed object where the object's does.
    """
    counts = {name: dict.fromkeys(map(str, Kind), 0) for name in BINS}
    for one, its in zip(scenes, errors, strict=True):
        boxes = np.concatenate([one.boxes, one.result.truth])
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        for area, kind in zip(areas, [*its.false, *its.missed], strict=True):
            if kind is not None:
                counts[next(name for name, (lower, upper) in BINS.items() if lower <= area < upper)][kind] += 1
    return counts
