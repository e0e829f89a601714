"""COCO's json of object detection: ``images``, ``annotations`` with ``bbox`` (x, y, width, height), ``categories``.

Source: https://cocodataset.org/#format-data
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oil_storage.annotations.decimals import decimals
from oil_storage.annotations.folders import visible
from oil_storage.annotations.images import copy_images, images_in
from oil_storage.annotations.json_file import is_number, load_object
from oil_storage.annotations.reading import Reading
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.tally import Tally
from oil_storage.errors import UserError
from oil_storage.files import write_json
from oil_storage.findings import Finding, Severity
from oil_storage.scene import CLASS_NAME, Scene

LAYOUTS = ("*.json", "annotations/*.json", "*/_annotations.coco.json")
HEAD = 1 << 20
"""Bytes in which the first of COCO's lists is looked for."""
OWN_LIST = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')


def is_format_of(source: Path) -> bool:
    """Whether ``source`` looks like this format."""
    return bool(_annotation_files(source))


def read(source: Path) -> Annotations:
    """Read every COCO json of ``source``.

    Boxes of crowds (``iscrowd``) are left out. Images that lie beside listed ones and are not listed are left out too:
    nobody says that they show no tank.

    Args:
        source: folder with ``*.json``, ``annotations/*.json`` or ``{train,valid,test}/_annotations.coco.json``. A
            ``file_name`` is looked for beside its json, then in ``source``, in ``source/images`` and in their folders.

    Returns:
        Annotations: images and boxes in the files' order.

    Raises:
        UserError: no such file, or one that is no COCO json; the entry is named.
    """
    files = _annotation_files(source)
    if not files:
        raise UserError(f"{source}: no COCO json in it; looked for {', '.join(LAYOUTS)}")
    reading = Reading(files)
    for file in files:
        _read_file(file, source, reading)
    _say_unlisted(reading)
    return reading.finish()


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/images/`` and ``out/annotations.json``; ids count from 1."""
    copy_images(scenes, out / "images")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(scenes, start=1):
        images.append({"id": image_id, "file_name": scene.image.name, "width": scene.width, "height": scene.height})
        for x1, y1, x2, y2 in decimals(scene.boxes):
            width, height = round(x2 - x1, 9), round(y2 - y1, 9)  # without the noise of subtraction
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [x1, y1, width, height],
                    "area": round(width * height, 6),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": CLASS_NAME}]
    write_json(out / "annotations.json", {"images": images, "annotations": annotations, "categories": categories})


def _annotation_files(source: Path) -> list[Path]:
    return [file for file in visible(source, *LAYOUTS) if file.is_file() and _is_coco(file)]


def _is_coco(file: Path) -> bool:
    with file.open("rb") as content:
        return OWN_LIST.search(content.read(HEAD)) is not None


def _read_file(file: Path, source: Path, reading: Reading) -> None:
    content = load_object(file)
    classes = _classes(file, content)
    folders = _image_folders(file, source)
    by_id: dict[Any, str] = {}
    places: dict[Any, str] = {}
    for place, entry in _entries(file, content, "images"):
        image_id, file_name = _identifier(entry, "id", place), entry.get("file_name")
        if not isinstance(file_name, str) or not file_name:
            raise UserError(f"{place}: file_name is {file_name!r}; an image needs one")
        if image_id in by_id:
            reading.found.findings.append(_duplicate(place, f"image id {image_id!r}", places[image_id], "left out"))
            continue
        path = _image_path(file_name, folders)
        by_id[image_id] = reading.add_image(file_name, path, _size(entry, place), place)
        places[image_id] = place
    seen: dict[Any, str] = {}
    for place, entry in _entries(file, content, "annotations"):
        if "id" in entry:
            number = _identifier(entry, "id", place)
            if number in seen:
                reading.found.findings.append(_duplicate(place, f"annotation id {number!r}", seen[number], "kept"))
            seen.setdefault(number, place)
        image_id = _identifier(entry, "image_id", place)
        if image_id not in by_id:
            by_id[image_id] = reading.add_image(f"image_id {image_id}", None, None, place)
        category = _identifier(entry, "category_id", place)
        box = _box(entry, place)
        if entry.get("iscrowd"):
            problem = f"box {box} is that of a crowd (iscrowd), not of one object"
            reading.found.findings.append(Finding(Severity.WARNING, "crowd", place, problem, "left out"))
            continue
        _say_outline(entry, file, place, reading.tally)
        reading.found.records.append(Record(by_id[image_id], classes.get(category, str(category)), box, place))


def _entries(file: Path, content: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    entries = content.get(key, [])
    if not isinstance(entries, list):
        raise UserError(f"{file}: {key} is a {type(entries).__name__}; COCO has a list there")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UserError(f"{file}: {key}[{index}]: {entry!r} is not an object {{...}}")
    return [(f"{file}: {key}[{index}]", entry) for index, entry in enumerate(entries)]


def _classes(file: Path, content: dict[str, Any]) -> dict[Any, str]:
    classes: dict[Any, str] = {}
    for place, entry in _entries(file, content, "categories"):
        number, name = _identifier(entry, "id", place), entry.get("name")
        if not isinstance(name, str):
            raise UserError(f"{place}: name is {name!r}; a category needs one")
        if classes.setdefault(number, name) != name:
            raise UserError(f"{place}: id {number!r} is called {name!r}, before {classes[number]!r}; give each its own")
    return classes


def _identifier(entry: dict[str, Any], key: str, place: str) -> int | str:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(f"{place}: {key} is {value!r}; it must be a number or a text")
    return value


def _size(entry: dict[str, Any], place: str) -> tuple[int, int] | None:
    if entry.get("width") is None or entry.get("height") is None:
        return None
    sides = entry["width"], entry["height"]
    if not all(is_number(side) and float(side).is_integer() for side in sides):
        raise UserError(f"{place}: width and height are {sides[0]!r} and {sides[1]!r}; they must be whole numbers")
    return int(sides[0]), int(sides[1])


def _box(entry: dict[str, Any], place: str) -> tuple[float, float, float, float]:
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_number, bbox)):
        raise UserError(f"{place}: bbox is {bbox!r}; it must be [x, y, width, height] in pixels")
    x, y, width, height = map(float, bbox)
    return x, y, x + width, y + height


def _say_outline(entry: dict[str, Any], file: Path, place: str, tally: Tally) -> None:
    if entry.get("segmentation"):
        tally.add(file, "outline", place, "has a segmentation", "its bbox is read, the outline is not")
    attributes = entry.get("attributes")
    rotation: Any = attributes.get("rotation") if isinstance(attributes, dict) else None
    if is_number(rotation) and rotation % 360:
        tally.add(file, "turned-box", place, f"box is turned by {rotation:g} degrees", "read as if it were upright")


def _duplicate(place: str, what: str, first: str, action: str) -> Finding:
    return Finding(Severity.ERROR, "duplicate-id", place, f"{what} is that of {first} too", action)


def _image_folders(file: Path, source: Path) -> list[Path]:
    """Where the images of a json may lie; folders whose name its own has, ``train2017``, come before others."""
    roots = [root for root in (source, source / "images") if root.is_dir()]
    inside = [folder for root in roots for folder in visible(root, "*") if folder.is_dir()]
    named = [folder for folder in inside if folder.name in file.stem]
    return list(dict.fromkeys((file.parent, *named, *roots, *inside)))


def _image_path(file_name: str, folders: list[Path]) -> Path | None:
    base_name = re.split(r"[/\\]", file_name)[-1]  # a labeller's own folders are of no use elsewhere
    for name in dict.fromkeys((file_name, base_name)):
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
    return None


def _say_unlisted(reading: Reading) -> None:
    # a link stays in its folder, wherever it leads
    listed = {Path(os.path.abspath(image.path)) for image in reading.found.images if image.path}
    for folder in sorted({path.parent for path in listed}):
        for path in images_in(folder):
            if path not in listed:
                reading.tally.add(folder, "unlisted-image", str(path), "image that no COCO json lists", "left out")
