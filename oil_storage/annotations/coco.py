"""COCO annotations: ``images``, ``annotations`` with ``bbox`` (x, y, width, height), ``categories``.

Source: https://cocodataset.org/#format-data
"""

import re
from collections.abc import Sequence
from pathlib import Path

from oil_storage.annotations.boxes import shortest
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.source import Source, report_unlisted
from oil_storage.coco import CocoAnnotation, CocoFile, CocoImage, Identifier
from oil_storage.errors import UserError
from oil_storage.files import read_json, validated
from oil_storage.findings import Severity
from oil_storage.scene import Scene

IMAGES = "images"
OWN_LIST = re.compile(r'^\{[\s\S]*"(images|annotations)"\s*:\s*\[')


def annotation_files(source: Source) -> list[Path]:
    """Return the COCO files."""
    return [file for file in source.with_suffix(".json") if source.starts_with(file, OWN_LIST)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read COCO files. An image is found by its ``file_name``, see :meth:`.ImageIndex.find`.

    Boxes of crowds (``iscrowd``) are left out. Images that no file lists are also left out, because they may contain
    unlabelled tanks.
    """
    annotations = Annotations([], [], files)
    for file in files:
        _read_file(file, source, annotations)
    report_unlisted(annotations, source)
    return annotations


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/annotations.json``; ids start at 1."""
    images = [CocoImage(i, scene.image.name, scene.width, scene.height) for i, scene in enumerate(scenes, start=1)]
    boxes = [shortest(scene.boxes) for scene in scenes]
    CocoFile.of_boxes(images, boxes, is_rounded=True).save(out / "annotations.json")


def _read_file(file: Path, source: Source, annotations: Annotations) -> None:
    entries = read_json(file)
    if isinstance(entries, dict):  # some tools omit empty lists
        entries = {"images": [], "annotations": [], **entries}
    content = validated(entries, CocoFile, file)
    classes: dict[Identifier, str] = {}
    for index, category in enumerate(content.categories):
        if classes.setdefault(category.id, category.name) != category.name:
            both = f"{classes[category.id]!r} and {category.name!r}"
            raise UserError(
                f"{file}: categories[{index}]: {both} have the same id {category.id!r}; give each its own id"
            )
    names: dict[Identifier, str] = {}
    for index, image in enumerate(content.images):
        place = f"{file}: images[{index}]"
        if image.id in names:
            problem = f"another image has the same id {image.id!r}"
            annotations.report("duplicate-id", place, problem, "left out", Severity.ERROR)
            continue
        size = None if image.width is None or image.height is None else (image.width, image.height)
        path = source.images.find(image.file_name, near=file)
        names[image.id] = annotations.add_image(image.file_name, path, size, place)
    ids: set[Identifier] = set()
    for index, annotation in enumerate(content.annotations):
        place = f"{file}: annotations[{index}]"
        if annotation.category_id is None:
            raise UserError(f"{place}: no category_id; add the class of the box")
        if annotation.id is not None:
            if annotation.id in ids:
                problem = f"another annotation has the same id {annotation.id!r}"
                annotations.report("duplicate-id", place, problem, "kept", Severity.ERROR)
            ids.add(annotation.id)
        if annotation.image_id not in names:
            name = f"image_id {annotation.image_id}"
            names[annotation.image_id] = annotations.add_image(name, None, None, place)
        class_name = classes.get(annotation.category_id, str(annotation.category_id))
        record = Record(names[annotation.image_id], class_name, annotation.box, place)
        if annotation.iscrowd:
            problem = f"box {annotation.box} contains a crowd (iscrowd), not a single object"
            if isinstance(annotation.segmentation, dict):
                problem += "; if it was painted with a brush, export it as a box or polygon"
            annotations.leave_out(record, "crowd", problem)
            continue
        _report_outline(annotation, file, place, annotations)
        annotations.records.append(record)


def _report_outline(annotation: CocoAnnotation, file: Path, place: str, annotations: Annotations) -> None:
    if annotation.segmentation:
        annotations.report_once(file, "outline", place, "has a segmentation", "only its bbox is used")
    rotation = annotation.attributes.get("rotation") if isinstance(annotation.attributes, dict) else None
    if isinstance(rotation, int | float) and rotation % 360:
        problem = f"box is rotated by {rotation:g} degrees"
        annotations.report_once(file, "turned-box", place, problem, "rotation ignored")
