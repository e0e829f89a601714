"""YOLO annotations: one text file per image, one line per box.

A line is ``class x y width height``: normalized centre and size.

Source: https://docs.ultralytics.com/datasets/detect/
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from oil_storage.annotations.boxes import bounds, is_upright_box, rounded, shortest
from oil_storage.annotations.images import image_size, images_by_stem
from oil_storage.annotations.record import Annotations, Record
from oil_storage.errors import UserError
from oil_storage.files import read_text, visible
from oil_storage.scene import CLASS_NAME, Scene

IMAGES, LABELS = "images", "labels"
NAME_LISTS = ("classes.txt", "obj.names")
"""Files with one class name per line, written by LabelImg and Darknet."""
BOX, OUTLINE = 5, 7
"""Number of values in a line: :data:`BOX` for a box, or an odd number of at least :data:`OUTLINE` for an outline."""


def annotation_files(source: Path) -> list[Path]:
    """Return the text files of the label folders."""
    return [file for _, labels in _folders(source) for file in visible(labels, "*.txt")]


def read(source: Path, files: list[Path]) -> Annotations:
    """Read the label files of ``source``.

    Images and labels are in ``images/`` and ``labels/`` (with or without subfolders), in ``train/images/`` and
    ``train/labels/`` (likewise for other splits), or together with ``classes.txt`` in a single folder. Class names come
    from ``data.yaml`` (or another ``*.yaml`` with ``names``), ``classes.txt`` or ``obj.names``. If a class has no name,
    its number is used.

    An image without a label file, or with an empty one, has no boxes. If an image folder has no label folder, its
    images are left out, because their tanks may not be labelled. Outlines and rotated boxes are converted to bounding
    boxes. Boxes stay normalized if their image is missing or broken.
    """
    folders = _folders(source)
    names_file, classes = _class_names(source, folders)
    annotations = Annotations([], [], [names_file] if names_file else [])
    for images_folder, labels_folder in folders:
        images = images_by_stem(images_folder)
        if images and not labels_folder.is_dir():
            problem = f"{len(images)} images, but no folder {labels_folder}"
            annotations.report("unlabelled-folder", str(images_folder), problem, "left out")
            continue
        labels = {file.stem: file for file in files if file.parent == labels_folder and file.name not in NAME_LISTS}
        for stem in sorted(images.keys() | labels.keys()):
            image, file = images.get(stem), labels.get(stem)
            name = annotations.add_image(stem, image, None, str(file or image))
            if file:
                annotations.files.append(file)
                _read_boxes(file, name, classes, (image and image_size(image)) or (1, 1), annotations)
    return annotations


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/labels/`` and ``out/data.yaml``; a scene without boxes gets an empty label file."""
    (out / LABELS).mkdir()
    for scene in scenes:
        low, high = np.split(np.array(shortest(scene.boxes)).reshape(-1, 4), 2, axis=1)
        shares = np.hstack([(low + high) / 2, high - low]) / ([scene.width, scene.height] * 2)
        np.savetxt(out / LABELS / f"{scene.scene_id}.txt", shares, fmt="0 %.10f %.10f %.10f %.10f")
    names = f"path: .\ntrain: {IMAGES}\nval: {IMAGES}\nnames:\n  0: {CLASS_NAME}\n"
    (out / "data.yaml").write_text(names, encoding="utf-8")


def _folders(source: Path) -> list[tuple[Path, Path]]:
    """Return pairs of an image folder and its label folder."""
    if (source / LABELS).is_dir():
        inside = {folder.name for folder in visible(source, f"{IMAGES}/*", f"{LABELS}/*") if folder.is_dir()}
        return [(source / IMAGES / name, source / LABELS / name) for name in ("", *sorted(inside))]
    if visible(source, f"*/{LABELS}"):
        splits = sorted({folder.parent for folder in visible(source, f"*/{IMAGES}", f"*/{LABELS}")})
        return [(folder / IMAGES, folder / LABELS) for folder in splits]
    return [(source, source)] if (source / NAME_LISTS[0]).is_file() else []


def _class_names(source: Path, folders: list[tuple[Path, Path]]) -> tuple[Path | None, dict[int, str]]:
    for file in visible(source, "*.yaml", "*.yml"):
        if names := _yaml_names(file):
            return file, names
    for folder in dict.fromkeys((source, *(labels for _, labels in folders))):
        for file in (folder / name for name in NAME_LISTS):
            if file.is_file():
                return file, dict(enumerate(line.strip() for line in read_text(file).splitlines()))
    return None, {}


def _yaml_names(file: Path) -> dict[int, str]:
    """Return the class names by number; empty if the file has no ``names``."""
    try:
        content = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{file}{line}: invalid YAML; correct it, or remove it to use class numbers") from error
    names = (content.get("names") if isinstance(content, dict) else None) or {}
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not all(isinstance(number, int) for number in names):
        raise UserError(f"{file}: names is {names!r}; it must be a list or a mapping of numbers to names")
    return {number: str(name) for number, name in names.items()}


def _read_boxes(
    file: Path, image: str, classes: Mapping[int, str], size: tuple[int, int], annotations: Annotations
) -> None:
    width, height = size
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        class_id, values = _numbers(line.split(), place)
        if len(values) == BOX - 1:
            x, y, w, h = values
            box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        else:
            points = np.array(values).reshape(-1, 2) * size
            box = bounds(points)
            if not is_upright_box(points):
                problem = f"outline of {len(points)} points, not an axis-aligned box"
                annotations.report_once(file, "outline", place, problem, "its bounding box is used")
        annotations.records.append(Record(image, classes.get(class_id, str(class_id)), rounded(box), place))


def _numbers(words: Sequence[str], place: str) -> tuple[int, list[float]]:
    if len(words) != BOX and (len(words) < OUTLINE or len(words) % 2 == 0):
        raise UserError(f"{place}: {len(words)} values; write class x y width height")
    try:
        class_id, *values = map(float, words)
    except ValueError as error:
        raise UserError(f"{place}: {error}; write five numbers: class x y width height") from None
    if not class_id.is_integer() or class_id < 0:
        raise UserError(f"{place}: class is {words[0]}; it must be a non-negative integer")
    return int(class_id), values
