"""The worst of what was found: what a person should look at first."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oil_storage.evaluation.errors import Kind, classify
from oil_storage.evaluation.matching import Matched

SHOWN = 48
"""Boxes of a gallery, at most."""


@dataclass(frozen=True)
class Shown:
    """A box to be looked at.

    Attributes:
        scene_id: where it is.
        box: xyxy, pixels of the scene.
        beside: the object that it was matched with; None where there is none.
        value: score of a false detection, side in pixels of a missed object, IoU of a match.
    """

    scene_id: str
    box: list[float]
    beside: list[float] | None
    value: float


def false_positives(scenes: Sequence[Matched], threshold: float) -> list[Shown]:
    """Detections of nothing whose scores reach the threshold, the surest first: errors, or labels that are missing."""
    found = [
        Shown(one.result.scene_id, one.boxes[index].tolist(), None, float(one.scores[index]))
        for one in scenes
        for index, kind in enumerate(classify(one, threshold).false)
        if kind is Kind.BACKGROUND
    ]
    return sorted(found, key=lambda each: -each.value)


def misses(scenes: Sequence[Matched], threshold: float) -> list[Shown]:
    """Objects that no detection of at least the threshold's score finds, the largest first."""
    found = []
    for one in scenes:
        taken = set(one.at[0][one.right & (one.scores >= threshold)].tolist())
        for index in set(range(len(one.result.truth))) - taken:
            x1, y1, x2, y2 = one.result.truth[index].tolist()
            found.append(Shown(one.result.scene_id, [x1, y1, x2, y2], None, float(np.sqrt((x2 - x1) * (y2 - y1)))))
    return sorted(found, key=lambda each: (-each.value, each.scene_id, each.box))


def loosest(scenes: Sequence[Matched], threshold: float) -> list[Shown]:
    """Right detections, those of the least IoU first."""
    found = []
    for one in scenes:
        for index in np.flatnonzero(one.right & (one.scores >= threshold)):
            number = one.at[0][index]
            pair = one.boxes[index].tolist(), one.result.truth[number].tolist()
            found.append(Shown(one.result.scene_id, *pair, float(one.ious[index, number])))
    return sorted(found, key=lambda each: each.value)


def suspect_labels(false: Sequence[Shown]) -> str:
    """CSV of false positives, for a person to see whether it is a label that is missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("scene", "xmin", "ymin", "xmax", "ymax", "score"))
    for one in false:
        writer.writerow((one.scene_id, *(round(value, 1) for value in one.box), round(one.value, 4)))
    return text.getvalue()
