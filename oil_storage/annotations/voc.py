"""Pascal VOC's xml: one file an image, ``bndbox`` with ``xmin``, ``ymin``, ``xmax``, ``ymax``.

Coordinates are read and written as edges, counted from the outer corner of the first pixel: a box is ``xmax - xmin``
wide, as LabelImg, CVAT and Roboflow write it. (VOC's own images of 2005 to 2012 number pixels from 1 and name the last
one inside; read as edges, the left and top edge of such a box lie one pixel too far inside.)

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf
"""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from defusedxml import DefusedXmlException, ElementTree

from oil_storage.annotations.boxes import plain_text, shortest
from oil_storage.annotations.images import images_by_stem, scene_name
from oil_storage.annotations.record import Annotations, Record
from oil_storage.errors import UserError
from oil_storage.files import starts_with, visible
from oil_storage.scene import CLASS_NAME, Scene

LAYOUTS = ("*.xml", "*/*.xml")
IMAGES = "JPEGImages"
IMAGE_FOLDERS = (IMAGES, "images")
EDGES = ("xmin", "ymin", "xmax", "ymax")
HEAD = 4096
"""Bytes in which the root element is looked for."""
ROOT = re.compile(rb"<annotation[\s>]")


def annotation_files(source: Path) -> list[Path]:
    """Return all xml of the folders that hold one of VOC's, so that a broken one is reported; no sidecar of GDAL."""
    files = [file for file in visible(source, *LAYOUTS) if not file.name.endswith(".aux.xml")]
    folders = {file.parent for file in files if starts_with(file, ROOT, HEAD)}
    return [file for file in files if file.parent in folders]


def read(source: Path, files: list[Path]) -> Annotations:
    """Read every xml of ``source`` and of its folders, ``Annotations`` or others, that hold such files.

    An image is that of the xml's own name, as VOC has it; where there is none, that of its ``filename``. It is looked
    for in ``JPEGImages`` and ``images`` beside the xml's folder, beside the xml, and in the same places of ``source``.
    Images without an xml are images without boxes and come last.
    """
    annotations = Annotations([], [], files)
    folders: dict[Path, dict[str, Path]] = {}
    for file in files:
        _read_file(file, source, annotations, folders)
    used = {image.path for image in annotations.images}
    for images in folders.values():
        if not used.isdisjoint(images.values()):
            for path in images.values():
                if path not in used:
                    annotations.add_image(path.name, path, None, str(path))
    return annotations


def write(scenes: Sequence[Scene], out: Path) -> None:
    """Write ``out/Annotations/``; coordinates are whole numbers where the boxes' are."""
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


def _read_file(file: Path, source: Path, annotations: Annotations, folders: dict[Path, dict[str, Path]]) -> None:
    root = _parse(file)
    file_name = root.findtext("filename", "").strip()
    path = _image_path(file, file_name, source, folders)
    if path and file_name and path.stem not in (scene_name(file_name), file_name):
        problem = f"filename is {file_name!r}, the image of the xml's name is {path.name}"
        annotations.report_once(file, "other-file-name", str(file), problem, f"{path.name} is taken")
    image = annotations.add_image(file_name or file.stem, path, _size(root, file), str(file))
    for number, item in enumerate(root.findall("object"), start=1):
        place = f"{file}: object {number}"
        class_name = item.findtext("name", "").strip()
        if not class_name:
            raise UserError(f"{place}: has no name; an object needs its class there")
        annotations.records.append(Record(image, class_name, _box(item, file, place, annotations), place))
        if item.findtext("difficult", "").strip() == "1":
            annotations.report_once(file, "difficult", place, "object is marked difficult", "kept, the mark is not")


def _parse(file: Path) -> ET.Element:
    try:
        root: ET.Element = ElementTree.parse(file).getroot()
    except ET.ParseError as error:
        raise UserError(f"{file}:{error.position[0]}: not XML ({error}); mend or remove it") from error
    except (DefusedXmlException, LookupError, ValueError) as error:
        raise UserError(f"{file}: not read ({error}); write it as plain XML in UTF-8") from error
    if root.tag != "annotation":
        raise UserError(f"{file}: its root is <{root.tag}>, VOC's is <annotation>; move it elsewhere")
    return root


def _image_path(file: Path, file_name: str, source: Path, folders: dict[Path, dict[str, Path]]) -> Path | None:
    near = [parent / name for parent in (file.parent.parent, file.parent, source) for name in IMAGE_FOLDERS]
    for stem in dict.fromkeys((file.stem, scene_name(file_name), file_name)):
        for folder in dict.fromkeys((*near, file.parent, source)):
            if folder not in folders:
                folders[folder] = images_by_stem(folder)
            if stem in folders[folder]:
                return folders[folder][stem]
    return None


def _size(root: ET.Element, file: Path) -> tuple[int, int] | None:
    """Return the stated size; 0 x 0, which some labellers write before they have seen the image, states none."""
    sides = root.findtext("size/width") or "0", root.findtext("size/height") or "0"
    try:
        width, height = map(int, sides)
    except ValueError:
        raise UserError(f"{file}: size is {sides}; width and height must be whole numbers") from None
    return (width, height) if width or height else None


def _box(item: ET.Element, file: Path, place: str, annotations: Annotations) -> tuple[float, float, float, float]:
    if (turned := item.find("robndbox")) is not None:  # roLabelImg's
        annotations.report_once(file, "turned-box", place, "box is turned (robndbox)", "read as its bounds")
        x, y, width, height, angle = _numbers(turned, ("cx", "cy", "w", "h", "angle"), place)
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        half_width, half_height = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
        return x - half_width, y - half_height, x + half_width, y + half_height
    edges = item.find("bndbox")
    if edges is None:
        raise UserError(f"{place}: has no bndbox; an object needs one with {', '.join(EDGES)}")
    if item.find("polygon") is not None:
        annotations.report_once(file, "outline", place, "has a polygon", "its bndbox is read, the polygon is not")
    x1, y1, x2, y2 = _numbers(edges, EDGES, place)
    return x1, y1, x2, y2


def _numbers(element: ET.Element, tags: Sequence[str], place: str) -> list[float]:
    texts = {tag: element.findtext(tag) for tag in tags}
    try:
        return [float(text or "") for text in texts.values()]
    except ValueError:
        raise UserError(f"{place}: {element.tag} has {texts}; all of these must be numbers") from None
