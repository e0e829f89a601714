"""CVAT for images: an XML file with an element for each image.

Source: https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations.boxes import corners, plain_text, shortest
from oil_storage.annotations.record import Annotations
from oil_storage.annotations.shapes import add_shape, ellipse, turned_rectangle
from oil_storage.annotations.source import Source, report_unlisted
from oil_storage.annotations.voc import parse_xml
from oil_storage.errors import UserError
from oil_storage.scene import CLASS_NAME, Scene

IMAGES = "images"
ROOT = re.compile(r"<annotations>[\s\S]*<(meta|image\s|track\s)")
EDGES = ("xtl", "ytl", "xbr", "ybr")
TAG = "tag"
"""Element with a class of the whole image."""


def annotation_files(source: Source) -> list[Path]:
    """Return the XML files of CVAT, for images or for video."""
    return [file for file in source.with_suffix(".xml") if source.starts_with(file, ROOT)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read XML files. Images that no file lists are left out, because they may have unlabelled tanks.

    Outlines, ellipses and masks are converted to bounding boxes. Points, lines and cuboids are left out.
    """
    annotations = Annotations([], [], files)
    for file in files:
        root = parse_xml(file, "annotations")
        if root.find("track") is not None:
            raise UserError(f'{file}: is in the format "CVAT for video"; export the task as "CVAT for images 1.1"')
        for number, item in enumerate(root.findall("image"), start=1):
            _read_image(item, file, f"{file}: image {number}", source, annotations)
    report_unlisted(annotations, source)
    return annotations


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/annotations.xml``, which CVAT reads into a task with the images."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    for index, scene in enumerate(scenes):
        about = {"id": str(index), "name": scene.image.name, "width": str(scene.width), "height": str(scene.height)}
        image = ET.SubElement(root, "image", about)
        origin = "manual" if scene.scores is None else "auto"
        for box in shortest(scene.boxes):
            edges = dict(zip(EDGES, map(plain_text, box), strict=True))
            ET.SubElement(
                image, "box", {"label": CLASS_NAME, "source": origin, "occluded": "0", **edges, "z_order": "0"}
            )
    ET.indent(root)
    ET.ElementTree(root).write(out / "annotations.xml", encoding="utf-8", xml_declaration=True)


def _read_image(item: ET.Element, file: Path, place: str, source: Source, annotations: Annotations) -> None:
    name = item.get("name", "")
    if not name:
        raise UserError(f"{place}: has no name; export the task again")
    size = None
    if "width" in item.attrib and "height" in item.attrib:
        width, height = _numbers(item, ("width", "height"), place)
        size = (int(width), int(height))
    image = annotations.add_image(name, source.images.find(name, near=file), size, place)
    for number, shape in enumerate(item, start=1):
        shape_place = f"{place}: {shape.tag} {number}"
        class_name = shape.get("label", "")
        if shape.tag == TAG:
            continue
        points = _points(shape, shape_place)
        if points is not None and not class_name:
            raise UserError(f"{shape_place}: has no label; add the class of the object")
        add_shape(annotations, file, image, class_name, points, shape_place, shape.tag)


def _points(shape: ET.Element, place: str) -> NDArray[np.float64] | None:
    """Return points ``(N, 2)`` with the bounds of a shape; None for other elements, such as polylines."""
    degrees = _numbers(shape, ("rotation",), place)[0] if shape.get("rotation") else 0
    if shape.tag == "box":
        x1, y1, x2, y2 = _numbers(shape, EDGES, place)
        return turned_rectangle((x1, y1, x2, y2), degrees, ((x1 + x2) / 2, (y1 + y2) / 2))
    if shape.tag == "ellipse":
        x, y, width, height = _numbers(shape, ("cx", "cy", "rx", "ry"), place)
        return ellipse((x, y), (width, height), degrees)
    if shape.tag == "mask":
        x, y, width, height = _numbers(shape, ("left", "top", "width", "height"), place)
        return corners((x, y, x + width, y + height))
    if shape.tag == "polygon":
        text = shape.get("points", "")
        try:
            points = np.array([[float(part) for part in pair.split(",")] for pair in text.split(";")])
            return points.reshape(len(points), 2)
        except ValueError:
            raise UserError(f"{place}: points is {text!r:.80}; write x,y;x,y") from None
    return None


def _numbers(item: ET.Element, names: Sequence[str], place: str) -> list[float]:
    texts = {name: item.get(name) for name in names}
    try:
        return [float(text or "") for text in texts.values()]
    except ValueError:
        raise UserError(f"{place}: {texts}; all values must be numbers") from None
