"""Judges what a reader found: records become scenes, and every repair or loss is reported."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations import Record
from oil_storage.errors import UserError
from oil_storage.imagery import SUFFIXES, read_header
from oil_storage.scene import Scene


@dataclass(frozen=True)
class Finding:
    """Something about the data that its owner should know.

    Attributes:
        place: file and line, or the image.
        problem: what is wrong, with the value.
        action: what was done about it.
    """

    place: str
    problem: str
    action: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem} -> {self.action}"


def audit(records: Iterable[Record], images: Path, class_name: str) -> tuple[list[Scene], list[Finding]]:
    """Turn records into scenes.

    Swapped corners are put in order and boxes over the border are clipped; boxes without area, outside the image or
    written twice are dropped. Each of these is reported. An image without boxes becomes a scene without boxes.

    Args:
        records: boxes as written.
        images: folder with one image per scene.
        class_name: the only class that is known.

    Returns:
        tuple: scenes sorted by id, and the findings in the records' order, images without boxes last.

    Raises:
        UserError: there are no images, two have the same name, a record names an image that is not there, an image
            cannot be used, a class is unknown, or every box was dropped.
    """
    files = _image_files(images)
    by_image: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        scene_id = _scene_id(record.image)
        if scene_id not in files:
            raise UserError(
                f"{record.place}: names the image {record.image!r}, which {images} lacks; "
                "add the image or remove its rows"
            )
        if record.class_name != class_name:
            raise UserError(f"{record.place}: class {record.class_name!r} is unknown; the one class is {class_name!r}")
        by_image[scene_id].append(record)

    findings: list[Finding] = []
    scenes = []
    for scene_id, path in files.items():
        width, height = _image_size(path)
        boxes = _judge_boxes(by_image.get(scene_id, []), width, height, findings)
        scenes.append(Scene(scene_id, path, width, height, boxes))
    findings += [
        Finding(str(scene.image), "image without boxes", "kept as background")
        for scene in scenes
        if not len(scene.boxes)
    ]
    if not any(len(scene.boxes) for scene in scenes):
        raise UserError(f"{images}: no image has a usable box; nothing to train on")
    return scenes, findings


def _image_files(images: Path) -> dict[str, Path]:
    if not images.is_dir():
        raise UserError(f"{images}: no such folder; SOURCE must hold images/ and annotations.csv (the Airbus layout)")
    files: dict[str, Path] = {}
    for path in sorted(images.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise UserError(f"{path}: has the same name as {files[path.stem].name}; a scene's name must be unique")
        files[path.stem] = path
    if not files:
        raise UserError(f"{images}: no image in it; wanted are {', '.join(SUFFIXES)}")
    return files


def _scene_id(name: str) -> str:
    """The scene that an annotation names, with or without the images' folder and suffix."""
    path = Path(name)
    if str(path.parent) in (".", "images"):
        return path.stem if path.suffix.lower() in SUFFIXES else path.name
    return name


def _image_size(path: Path) -> tuple[int, int]:
    header = read_header(path)
    if not header.is_eight_bit:
        raise UserError(f"{path}: has more than 8 bits a band; scale it to 8 bits, so that you choose which are kept")
    if header.orientation != 1:
        raise UserError(
            f"{path}: its EXIF orientation is {header.orientation}: programs turn it or don't, and so do its boxes; "
            "save it upright, without that tag, and check its boxes"
        )
    return header.width, header.height


def _judge_boxes(records: list[Record], width: int, height: int, findings: list[Finding]) -> NDArray[np.float32]:
    """Return ``(N, 4)`` float32 xyxy boxes inside the image; report what was repaired or dropped."""
    boxes: list[tuple[float, float, float, float]] = []
    for record in records:
        # judged in the precision in which they are kept
        with np.errstate(over="ignore"):
            x1, y1, x2, y2 = np.array(record.box, dtype=np.float32).tolist()
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            findings.append(Finding(record.place, f"coordinates {record.box} are not finite", "dropped"))
            continue
        if x1 > x2 or y1 > y2:
            findings.append(Finding(record.place, f"corners of {record.box} are swapped", "put in order"))
            x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        if x1 == x2 or y1 == y2:
            findings.append(Finding(record.place, f"box {record.box} has no area", "dropped"))
            continue
        if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            findings.append(
                Finding(record.place, f"box {record.box} lies outside the {width} x {height} image", "dropped")
            )
            continue
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            findings.append(Finding(record.place, f"box {record.box} reaches over the border", "clipped"))
        box = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
        if box in boxes:
            findings.append(Finding(record.place, f"box {record.box} is written twice", "dropped"))
            continue
        boxes.append(box)
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)
