"""YOLO annotations: one text file per image, one line per box.

A line is ``class x y width height``: normalized centre and size. Darknet, CVAT, Roboflow, Label Studio, LabelImg and
Ultralytics write such files, with the class names in different files.

Source: https://docs.ultralytics.com/datasets/detect/
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oil_storage.annotations.boxes import rounded, shortest
from oil_storage.annotations.dota import is_dota
from oil_storage.annotations.images import image_size
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.shapes import add_shape
from oil_storage.annotations.source import Source
from oil_storage.errors import UserError
from oil_storage.files import read_json, read_text
from oil_storage.scene import CLASS_NAME, Scene

IMAGES, LABELS = "images", "labels"
NAME_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
"""Files with one class name per line, written by LabelImg, Darknet and Roboflow."""
NOTES = "notes.json"
"""File of Label Studio with the categories."""
BOX, OUTLINE = 5, 7
"""Number of values in a line: :data:`BOX` for a box, or an odd number of at least :data:`OUTLINE` for an outline."""
NUMBERS = re.compile(rf"^\s*\d+(\.0*)?(\s+[-+\d.eE]+){{{BOX - 1},}}\s*$", re.MULTILINE)
"""Line of a label file."""


def annotation_files(source: Source) -> list[Path]:
    """Return the text files in folders with the name ``labels``, or else those beside the images.

    Without a list of class names, a file beside the images is a label file if it has a line of numbers.
    """
    texts = [file for file in source.with_suffix(".txt") if file.name.lower() not in NAME_LISTS]
    labels = [file for file in texts if _is_in_labels(file, source)]
    if not labels:
        has_names = any(_is_name_list(file) or file.name.lower() == NOTES for file in source.files)
        stems = {path.stem for path in source.images.paths}
        labels = [file for file in texts if (has_names and file.stem in stems) or source.starts_with(file, NUMBERS)]
    return [] if any(is_dota(file, source) for file in labels) else labels


def read(source: Source, files: list[Path]) -> Annotations:
    """Read label files.

    A label file belongs to the image with the same name, in the folder ``images`` beside ``labels``, in the same
    folder, or else anywhere in ``source``. Class names come from the nearest ``*.yaml`` with ``names``, list of names
    or ``notes.json``. If a class has no name, its number is used.

    An image without a label file, or with an empty one, has no boxes. If no image of a folder has a label file, and
    there is no matching folder of labels, the images are left out, because their tanks may not be labelled. Outlines
    and rotated boxes are converted to bounding boxes. Boxes stay normalized if their image is missing or broken.
    """
    classes = _ClassNames(source)
    annotations = Annotations([], [], classes.files)
    labelled: set[Path] = set()
    for file in files:
        image = source.images.find(file.stem, near=file)
        name = annotations.add_image(file.stem, image, None, str(file))
        annotations.files.append(file)
        size = (image and image_size(image)) or (1, 1)
        _read_boxes(file, name, classes.near(file), size, annotations)
        if image:
            labelled.add(image)
    folders = {image.parent for image in labelled}
    unlabelled: dict[Path, int] = {}
    for path in source.images.paths:
        if path in labelled:
            continue
        if path.parent in folders or _labels_beside(path.parent, source).is_dir():
            annotations.add_image(path.stem, path, None, str(path))
        else:
            unlabelled[path.parent] = unlabelled.get(path.parent, 0) + 1
    for folder, count in unlabelled.items():
        problem = f"{count} images, but no folder {_labels_beside(folder, source)}"
        annotations.report("unlabelled-folder", str(folder), problem, "left out")
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


def _is_in_labels(file: Path, source: Source) -> bool:
    return LABELS in [part.lower() for part in file.relative_to(source.path).parent.parts]


def _labels_beside(folder: Path, source: Source) -> Path:
    """Return the folder of labels for a folder of images: the last part ``images`` of the path is ``labels``."""
    parts = list(folder.relative_to(source.path).parts)
    for index in reversed(range(len(parts))):
        if parts[index].lower() == IMAGES:
            for name in (LABELS, LABELS.capitalize(), LABELS.upper()):
                path = source.path.joinpath(*parts[:index], name, *parts[index + 1 :])
                if path.is_dir():
                    return path
            parts[index] = LABELS
            break
    else:
        parts.append(LABELS)
    return source.path.joinpath(*parts)


def _is_name_list(file: Path) -> bool:
    return file.name.lower() in NAME_LISTS or file.suffix.lower() == ".names"


class _ClassNames:
    """Class names by number for each folder of a data set.

    Attributes:
        files: files with class names.
    """

    def __init__(self, source: Source) -> None:
        self._root = source.path
        self._by_folder: dict[Path, dict[int, str]] = {}
        self.files: list[Path] = []
        found = [(file, names) for file in source.with_suffix(".yaml", ".yml") if (names := _yaml_names(file))]
        for file in source.files:
            if _is_name_list(file):
                found.append((file, dict(enumerate(line.strip() for line in read_text(file).splitlines()))))
            elif file.name.lower() == NOTES:
                found.append((file, _note_names(file)))
        for file, names in found:
            if file.parent not in self._by_folder:
                self._by_folder[file.parent] = names
                self.files.append(file)

    def near(self, file: Path) -> dict[int, str]:
        """Return the class names for a label file: those in its folder or the next folder above, or else the only ones.

        Raises:
            UserError: other folders have different class names.
        """
        for folder in file.parents:
            if folder in self._by_folder:
                return self._by_folder[folder]
            if folder == self._root:
                break
        others = list(self._by_folder.values())
        if any(names != others[0] for names in others):
            listed = " and ".join(str(path) for path in self.files[:2])
            raise UserError(f"{file}: {listed} give different class names; put one data.yaml into {self._root}")
        return others[0] if others else {}


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
    try:
        return {int(number): str(name) for number, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{file}: names is {names!r}; it must be a list or a mapping of numbers to names") from None


def _note_names(file: Path) -> dict[int, str]:
    """Return the class names in the ``notes.json`` of Label Studio."""
    content: Any = read_json(file)
    try:
        return {int(category["id"]): str(category["name"]) for category in content["categories"]}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file}: has no categories with id and name; export the labels again") from None


def _read_boxes(
    file: Path, image: str, classes: dict[int, str], size: tuple[int, int], annotations: Annotations
) -> None:
    width, height = size
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        class_id, values = _numbers(line.split(), place)
        class_name = classes.get(class_id, str(class_id))
        if len(values) == BOX - 1:
            x, y, w, h = values
            box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            annotations.records.append(Record(image, class_name, rounded(box), place))
        else:
            add_shape(annotations, file, image, class_name, np.array(values).reshape(-1, 2) * size, place)


def _numbers(words: Sequence[str], place: str) -> tuple[int, list[float]]:
    if len(words) == BOX + 1:
        raise UserError(
            f"{place}: {len(words)} values, so the line is a prediction with a confidence; give labels without one, "
            "or score the predictions with tools/evaluate.py"
        )
    if len(words) != BOX and (len(words) < OUTLINE or len(words) % 2 == 0):
        raise UserError(f"{place}: {len(words)} values; write class x y width height")
    try:
        class_id, *values = map(float, words)
    except ValueError as error:
        raise UserError(f"{place}: {error}; write five numbers: class x y width height") from None
    if not class_id.is_integer() or class_id < 0:
        raise UserError(f"{place}: class is {words[0]}; it must be a non-negative integer")
    return int(class_id), values
