"""Pascal VOC annotations: one XML file per image, ``bndbox`` with ``xmin``, ``ymin``, ``xmax``, ``ymax``.

Coordinates are pixel edges that start at 0, so a box is ``xmax - xmin`` wide, as in LabelImg, CVAT and Roboflow. The
original VOC data (2005 to 2012) number pixels from 1 and include the last pixel. Such boxes are read with their left
and top edges one pixel too far inside.

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf
"""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from defusedxml import DefusedXmlException, ElementTree

from oil_storage.annotations.boxes import bounds, plain_text, shortest
from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.shapes import turned_rectangle
from oil_storage.annotations.source import Source, add_backgrounds
from oil_storage.errors import UserError
from oil_storage.scene import CLASS_NAME, Scene

IMAGES = "JPEGImages"
EDGES = ("xmin", "ymin", "xmax", "ymax")
CORNERS = tuple(
    f"{axis}_{corner}" for corner in ("left_top", "right_top", "right_bottom", "left_bottom") for axis in "xy"
)
"""Corners of the rotated boxes of DIOR-R."""
ROOT = re.compile(r"<annotation[\s>]")


def annotation_files(source: Source) -> list[Path]:
    """Return all XML files, except GDAL sidecar files, of each folder that contains a VOC file.

    Files without VOC annotations are included, so that the reader reports them.
    """
    files = [file for file in source.with_suffix(".xml") if not file.name.endswith(".aux.xml")]
    folders = {file.parent for file in files if source.starts_with(file, ROOT)}
    return [file for file in files if file.parent in folders]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read XML files. Each belongs to the image with the same name, or else to the image in its ``filename``.

    Other images in a folder where an image was found have no boxes and come last.
    """
    annotations = Annotations([], [], files)
    for file in files:
        _read_file(file, source, annotations)
    add_backgrounds(annotations, source)
    return annotations


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/Annotations/``; integral coordinates are written without decimals."""
    (out / "Annotations").mkdir()
    for scene in scenes:
        root = ET.Element("annotation")
        _add(root, folder=IMAGES, filename=scene.image.name)
        _add(ET.SubElement(root, "size"), width=str(scene.width), height=str(scene.height), depth="3")
        _add(root, segmented="0")
        for box in shortest(scene.boxes):
            item = ET.SubElement(root, "object")
            _add(item, name=CLASS_NAME, pose="Unspecified", truncated="0", difficult="0")
            _add(ET.SubElement(item, "bndbox"), **dict(zip(EDGES, map(plain_text, box), strict=True)))
        ET.indent(root)
        ET.ElementTree(root).write(out / "Annotations" / f"{scene.scene_id}.xml", encoding="utf-8")


def _add(parent: ET.Element, **texts: str) -> None:
    for tag, content in texts.items():
        ET.SubElement(parent, tag).text = content


def _read_file(file: Path, source: Source, annotations: Annotations) -> None:
    root = parse_xml(file, "annotation")
    file_name = root.findtext("filename", "").strip()
    path = source.images.find(file.stem, file_name, near=file)
    if path and file_name and source.images.find(file_name, near=file) not in (path, None):
        problem = f"filename is {file_name!r}, but {path.name} has the name of the XML file"
        annotations.report_once(file, "other-file-name", str(file), problem, f"{path.name} is used")
    image = annotations.add_image(file_name or file.stem, path, _size(root, file), str(file))
    for number, item in enumerate(root.findall("object"), start=1):
        place = f"{file}: object {number}"
        class_name = item.findtext("name", "").strip()
        if not class_name:
            raise UserError(f"{place}: no name; add the class of the object")
        annotations.records.append(Record(image, class_name, _box(item, file, place, annotations), place))
        if item.findtext("difficult", "").strip() == "1":
            annotations.report_once(file, "difficult", place, "object is marked difficult", "mark ignored")


def parse_xml(file: Path, tag: str) -> ET.Element:
    """Return the root element of an XML file.

    Raises:
        UserError: the file is not XML, uses entities, or has another root element than ``tag``.
    """
    try:
        root: ET.Element = ElementTree.parse(file).getroot()
    except ET.ParseError as error:
        raise UserError(f"{file}:{error.position[0]}: invalid XML ({error}); correct or remove the file") from error
    except (DefusedXmlException, LookupError, ValueError) as error:
        raise UserError(f"{file}: unsupported XML ({error}); save it as plain XML in UTF-8") from error
    if root.tag != tag:
        raise UserError(f"{file}: the root element is <{root.tag}>, not <{tag}>; move the file to another folder")
    return root


def _size(root: ET.Element, file: Path) -> tuple[int, int] | None:
    """Return the width and height in the file; None for 0 x 0, which some tools write if the size is unknown."""
    sides = root.findtext("size/width") or "0", root.findtext("size/height") or "0"
    try:
        width, height = map(int, sides)
    except ValueError:
        raise UserError(f"{file}: size is {sides}; width and height must be integers") from None
    return (width, height) if width or height else None


def _box(item: ET.Element, file: Path, place: str, annotations: Annotations) -> tuple[float, float, float, float]:
    if (turned := item.find("robndbox")) is not None:
        annotations.report_once(file, "turned-box", place, "box is rotated (robndbox)", "its bounding box is used")
        if turned.find(CORNERS[0]) is not None:  # DIOR-R
            return bounds(np.array(_numbers(turned, CORNERS, place)).reshape(-1, 2))
        x, y, width, height, angle = _numbers(turned, ("cx", "cy", "w", "h", "angle"), place)  # roLabelImg
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return bounds(turned_rectangle(box, math.degrees(angle), (x, y)))
    edges = item.find("bndbox")
    if edges is None:
        raise UserError(f"{place}: no bndbox; add one with {', '.join(EDGES)}")
    if item.find("polygon") is not None:
        annotations.report_once(file, "outline", place, "has a polygon", "only its bndbox is used")
    x1, y1, x2, y2 = _numbers(edges, EDGES, place)
    return x1, y1, x2, y2


def _numbers(element: ET.Element, tags: Sequence[str], place: str) -> list[float]:
    texts = {tag: element.findtext(tag) for tag in tags}
    try:
        return [float(text or "") for text in texts.values()]
    except ValueError:
        raise UserError(f"{place}: {element.tag} is {texts}; all values must be numbers") from None
