"""COCO annotations: ``images``, ``annotations`` with ``bbox`` (x, y, width, height), ``categories``.

Source: https://cocodataset.org/#format-data
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from oil_storage.annotations.boxes import shortest
from oil_storage.annotations.images import images_in
from oil_storage.annotations.record import Annotations, Record
from oil_storage.coco import CocoAnnotation, CocoFile, CocoImage, Identifier
from oil_storage.errors import UserError
from oil_storage.files import read_json, starts_with, validated, visible
from oil_storage.findings import Severity
from oil_storage.scene import Scene

IMAGES = "images"
LAYOUTS = ("*.json", "annotations/*.json", "*/_annotations.coco.json")
HEAD = 1 << 20
"""Number of bytes at the start of a file that are searched for a COCO list."""
OWN_LIST = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')


def annotation_files(source: Path) -> list[Path]:
    """Return the COCO files of ``source``."""
    return [file for file in visible(source, *LAYOUTS) if file.is_file() and starts_with(file, OWN_LIST, HEAD)]


def read(source: Path, files: list[Path]) -> Annotations:
    """Read COCO files in ``source``, in ``annotations/``, or as ``{train,valid,test}/_annotations.coco.json``.

    Boxes of crowds (``iscrowd``) are left out. Images that no file lists are also left out, because they may contain
    unlabelled tanks. The path ``file_name`` is searched in the folder of the JSON file, in ``source`` and
    ``source/images``, and in the subfolders of these two. If it is not found, its bare file name is searched in the
    same folders.
    """
    annotations = Annotations([], [], files)
    for file in files:
        _read_file(file, source, annotations)
    # abspath, unlike resolve, does not follow links
    listed = {Path(os.path.abspath(image.path)) for image in annotations.images if image.path}
    for folder in sorted({path.parent for path in listed}):
        for path in sorted(set(images_in(folder)) - listed):
            annotations.report_once(folder, "unlisted-image", str(path), "no COCO file lists this image", "left out")
    return annotations


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/annotations.json``; ids start at 1."""
    images = [CocoImage(i, scene.image.name, scene.width, scene.height) for i, scene in enumerate(scenes, start=1)]
    boxes = [shortest(scene.boxes) for scene in scenes]
    CocoFile.of_boxes(images, boxes, is_rounded=True).save(out / "annotations.json")


def _read_file(file: Path, source: Path, annotations: Annotations) -> None:
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
    folders = _image_folders(file, source)
    names: dict[Identifier, str] = {}
    for index, image in enumerate(content.images):
        place = f"{file}: images[{index}]"
        if image.id in names:
            problem = f"another image has the same id {image.id!r}"
            annotations.report("duplicate-id", place, problem, "left out", Severity.ERROR)
            continue
        size = None if image.width is None or image.height is None else (image.width, image.height)
        path = _image_path(image.file_name, folders)
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
        if annotation.iscrowd:
            problem = f"box {annotation.box} contains a crowd (iscrowd), not a single object"
            annotations.report("crowd", place, problem, "left out")
            continue
        _report_outline(annotation, file, place, annotations)
        class_name = classes.get(annotation.category_id, str(annotation.category_id))
        annotations.records.append(Record(names[annotation.image_id], class_name, annotation.box, place))


def _report_outline(annotation: CocoAnnotation, file: Path, place: str, annotations: Annotations) -> None:
    if annotation.segmentation:
        annotations.report_once(file, "outline", place, "has a segmentation", "only its bbox is used")
    rotation = annotation.attributes.get("rotation") if isinstance(annotation.attributes, dict) else None
    if isinstance(rotation, int | float) and rotation % 360:
        problem = f"box is rotated by {rotation:g} degrees"
        annotations.report_once(file, "turned-box", place, problem, "rotation ignored")


def _image_folders(file: Path, source: Path) -> list[Path]:
    """Return the folders to search for images, in this order.

    The folder of the JSON file comes first. Next are subfolders whose name is part of the name of the JSON file:
    ``train2017`` for ``instances_train2017.json``. Then come ``source``, ``source/images`` and other subfolders.
    """
    roots = [root for root in (source, source / IMAGES) if root.is_dir()]
    inside = [folder for root in roots for folder in visible(root, "*") if folder.is_dir()]
    named = [folder for folder in inside if folder.name in file.stem]
    return list(dict.fromkeys((file.parent, *named, *roots, *inside)))


def _image_path(file_name: str, folders: list[Path]) -> Path | None:
    base_name = re.split(r"[/\\]", file_name)[-1]  # the path may be from another computer
    paths = (folder / name for name in dict.fromkeys((file_name, base_name)) for folder in folders)
    return next((path for path in paths if path.is_file()), None)
