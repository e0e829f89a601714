"""Undoes the faults that were found: annotations as they should have been written."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from oil_storage.annotations import Annotations, Record
from oil_storage.audit.alignment import Fault, faults
from oil_storage.audit.alignment.faults import undo
from oil_storage.audit.alignment.verdict import Answer, DatasetVerdict, agrees


def mend(
    annotations: Annotations,
    alignment: DatasetVerdict,
    sizes: Mapping[str, tuple[int, int]],
    leave: Collection[str] = (),
) -> tuple[Annotations, dict[str, Fault]]:
    """Undo in every scene the fault that it has, or that the data set has.

    Args:
        annotations: as read.
        alignment: the verdict on them.
        sizes: width and height of each scene, pixels, by scene id.
        leave: scenes to leave as they are, and with them those whose boxes would go to them or come from them.

    Returns:
        tuple: annotations with boxes moved, or given to the image on which they sit, less the images of
            :func:`without_boxes`; and the fault undone in each scene, by scene id.
    """
    scene_ids = {image.name: image.path.stem for image in annotations.images if image.path}
    names = {scene_id: name for name, scene_id in scene_ids.items()}
    undone = {name: fault for name in alignment.scenes if (fault := fault_of(name, alignment)).kind != faults.NONE}
    left = set(leave)
    pairs = [{name, fault.image} for name, fault in undone.items() if fault.image]
    while touched := [pair for pair in pairs if pair & left and not pair <= left]:
        left.update(*touched)
    undone = {name: fault for name, fault in undone.items() if name not in left}
    by_scene: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(annotations.records):
        by_scene[scene_ids.get(record.image, "")].append(index)
    records: list[Record] = list(annotations.records)
    for name, fault in undone.items():
        width, height = sizes[name]
        boxes = np.array([records[index].box for index in by_scene[name]], np.float32).reshape(-1, 4)
        with np.errstate(over="ignore"):  # of a wild box, which the audit then drops
            right = undo(fault, boxes, width, height).tolist()
        image = names[fault.image or name]
        for index, (x1, y1, x2, y2) in zip(by_scene[name], right, strict=True):
            records[index] = replace(records[index], image=image, box=(x1, y1, x2, y2))
    images = [image for image in annotations.images if scene_ids.get(image.name) not in without_boxes(undone)]
    return replace(annotations, images=images, records=records), undone


def without_boxes(undone: Mapping[str, Fault]) -> set[str]:
    """Return the scenes whose boxes were given to others, and that got none in return."""
    return {name for name, fault in undone.items() if fault.image} - {fault.image for fault in undone.values()}


def fault_of(scene_id: str, alignment: DatasetVerdict) -> Fault:
    """Return the fault to undo in a scene: its own, unless it is the data set's, which is measured better."""
    verdict = alignment.scenes.get(scene_id)
    if verdict and verdict.answer == Answer.NO and not agrees(verdict.fault, alignment.fault):
        return verdict.fault
    return alignment.fault
