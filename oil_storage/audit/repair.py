"""Repair misplaced boxes by undoing the detected faults."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations import Annotations, Record, formats
from oil_storage.audit.alignment import Fault, faults
from oil_storage.audit.alignment.faults import undo
from oil_storage.audit.alignment.verdict import Answer, DatasetVerdict, agrees
from oil_storage.audit.inspection import Inspected, inspect
from oil_storage.audit.records import audit


def mend(
    annotations: Annotations,
    alignment: DatasetVerdict,
    sizes: Mapping[str, tuple[int, int]],
    leave: Collection[str] = (),
    improved: NDArray[np.bool_] | None = None,
) -> tuple[Annotations, dict[str, Fault]]:
    """Undo the fault of each scene, or the fault of the whole data set.

    Args:
        annotations: annotations as read.
        alignment: verdict on these annotations.
        sizes: width and height of each scene in pixels, by scene id.
        leave: ids of scenes to leave unchanged. Scenes that would exchange boxes with these scenes also stay unchanged.
        improved: whether the box of each record is rounder after the repair; other boxes keep their place in the image.
            None if all boxes move.

    Returns:
        tuple: the corrected annotations, and the faults that were undone, by scene id. The annotations lack the images
            of the scenes that :func:`without_boxes` returns.
    """
    scene_ids = {image.name: image.path.stem for image in annotations.images if image.path}
    names = {scene_id: name for name, scene_id in scene_ids.items()}
    undone = {
        name: fault
        for name in alignment.scenes
        if (fault := fault_of(name, alignment)).kind not in (faults.NONE, faults.UNNAMED)
    }
    left = set(leave)
    pairs = [{name, fault.image} for name, fault in undone.items() if fault.image]
    while touched := [pair for pair in pairs if pair & left and not pair <= left]:
        left.update(*touched)
    undone = {name: fault for name, fault in undone.items() if name not in left}

    def repaired(record: Record, is_better: bool) -> Record:
        name = scene_ids.get(record.image, "")
        if name not in undone or not (is_better or undone[name].image):
            return record
        with np.errstate(over="ignore"):  # the audit drops such boxes
            x1, y1, x2, y2 = undo(undone[name], np.array([record.box], np.float32), *sizes[name])[0].tolist()
        return replace(record, image=names[undone[name].image or name], box=(x1, y1, x2, y2))

    images = [image for image in annotations.images if scene_ids.get(image.name) not in without_boxes(undone)]
    better = [True] * len(annotations.records) if improved is None else improved.tolist()
    return replace(annotations, images=images, records=[*map(repaired, annotations.records, better)]), undone


def without_boxes(undone: Mapping[str, Fault]) -> set[str]:
    """Return the ids of scenes whose boxes were all moved to another scene, and to which no boxes were moved."""
    return {name for name, fault in undone.items() if fault.image} - {fault.image for fault in undone.values()}


def fault_of(scene_id: str, alignment: DatasetVerdict) -> Fault:
    """Return the fault to undo in a scene.

    This is no fault if its boxes are right, the fault of the scene if it has a name and differs from the common fault,
    and otherwise the common fault.
    """
    verdict = alignment.scenes[scene_id]
    if verdict.answer == Answer.YES or (
        verdict.fault.kind not in (faults.NONE, faults.UNNAMED) and not agrees(verdict.fault, alignment.fault)
    ):
        return verdict.fault
    return alignment.fault


def write_repaired(
    annotations: Annotations,
    inspected: Inspected,
    class_map: dict[str, str | None],
    out: Path,
    format_name: str,
) -> Iterator[str]:
    """Write the repaired data set; scenes whose boxes are still wrong after the repair are written unchanged.

    Args:
        annotations: annotations as read.
        inspected: audit of these annotations.
        class_map: see :func:`oil_storage.annotations.record.parse_class_map`.
        out: new folder.
        format_name: format of ``out``.

    Yields:
        str: a line that describes an action.
    """
    sizes = {scene.scene_id: (scene.width, scene.height) for scene in inspected.scenes}
    before = inspected.alignment
    repaired, tried = mend(annotations, before, sizes)
    reinspected = inspect(repaired, class_map, inspected.reading) if tried else inspected
    again, improved = reinspected.alignment, reinspected.roundness > inspected.roundness
    still_wrong = {
        name
        for name in tried.keys() & again.scenes.keys()
        if Answer.NO in (again.answer, again.scenes[name].answer)
        or (again.scenes[name].answer != Answer.YES and before.scenes[name].answer == Answer.NO)
    }
    repaired, undone = mend(annotations, before, sizes, still_wrong, improved)
    for name in sorted(tried.keys() - undone.keys()):
        yield f"unchanged: {name}: undoing the fault ({tried[name]}) does not correct the boxes; check them"
    unchanged = Counter(old.image for old, new in zip(annotations.records, repaired.records, strict=True) if old is new)
    names = {image.path.stem: image.name for image in annotations.images if image.path}
    for name, fault in sorted(undone.items()):
        kept = f"; {count} boxes are left as they are, not rounder there" if (count := unchanged[names[name]]) else ""
        yield f"repaired: {name}: {fault}{kept}"
    for name in sorted(without_boxes(undone)):
        yield f"left out: {name}: its boxes belong to another scene, so it has no boxes left"
    scenes, _ = audit(repaired, class_map, inspected.reading)
    formats.write(scenes, out, format_name)
    yield f"wrote {len(scenes)} scenes, {len(undone)} of them repaired, to {out} ({format_name})"
