"""Undoes the faults that were found: annotations as they should have been written."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from oil_storage.annotations import Annotations, Record
from oil_storage.preparation.alignment import Fault, faults
from oil_storage.preparation.alignment.dataset import DatasetVerdict
from oil_storage.preparation.alignment.faults import undo
from oil_storage.preparation.alignment.verdict import Answer


def mend(
    annotations: Annotations, alignment: DatasetVerdict, sizes: Mapping[str, tuple[int, int]]
) -> tuple[Annotations, dict[str, Fault]]:
    """Undo in every scene the fault that it has, or that the data set has.

    Args:
        annotations: as read.
        alignment: the verdict on them.
        sizes: width and height of each scene, pixels, by scene id.

    Returns:
        tuple: annotations with boxes moved, or given to the image on which they sit; and the fault undone in each
        scene, by scene id.
    """
    scene_ids = {image.name: image.path.stem for image in annotations.images if image.path}
    names = {scene_id: name for name, scene_id in scene_ids.items()}
    undone = {name: fault for name in alignment.scenes if (fault := fault_of(name, alignment)).kind != faults.NONE}
    by_scene: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(annotations.records):
        by_scene[scene_ids.get(record.image, "")].append(index)
    records: list[Record] = list(annotations.records)
    for name, fault in undone.items():
        width, height = sizes[name]
        boxes = np.array([records[index].box for index in by_scene[name]], np.float32).reshape(-1, 4)
        right = undo(fault, boxes, width, height).tolist()
        image = names[fault.image or name]
        for index, (x1, y1, x2, y2) in zip(by_scene[name], right, strict=True):
            records[index] = replace(records[index], image=image, box=(x1, y1, x2, y2))
    return replace(annotations, records=records), undone


def fault_of(scene_id: str, alignment: DatasetVerdict) -> Fault:
    """What to undo in a scene: its own fault, unless it is the data set's, which is measured better."""
    verdict = alignment.scenes.get(scene_id)
    own = verdict.fault if verdict and verdict.answer == Answer.NO else Fault()
    if own.kind in (faults.NONE, alignment.fault.kind):
        return alignment.fault if alignment.answer == Answer.NO else own
    return own
