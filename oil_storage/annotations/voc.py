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

from defusedxml import DefusedXmlException, ElementTree

from oil_storage.annotations.boxes import plain_text, shortest
from oil_storage.annotations.images import images_by_stem, scene_name
from oil_storage.annotations.record import Annotations, Record
from oil_storage.errors import UserError
from oil_storage.files import starts_with, visible
from oil_storage.scene import CLASS_NAME, Scene

LAYOUTS = ("*.xml", "*/*.xml", "*/Horizontal Bounding Boxes/*.xml")
IMAGES = "JPEGImages"
IMAGE_FOLDERS = (IMAGES, "images")
PARTS = f"{IMAGES}-*"
"""Pattern of the folders of a data set whose parts are apart: ``JPEGImages-trainval``, ``JPEGImages-test``."""
EDGES = ("xmin", "ymin", "xmax", "ymax")
HEAD = 4096
"""Number of bytes at the start of a file that are searched for the root element."""
ROOT = re.compile(rb"<annotation[\s>]")


def annotation_files(source: Path) -> list[Path]:
    """Return all XML files, except GDAL sidecar files, of each folder that contains a VOC file.

    Files without VOC annotations are included, so that the reader reports them.
    """
    files = [file for file in visible(source, *LAYOUTS) if not file.name.endswith(".aux.xml")]
    folders = {file.parent for file in files if starts_with(file, ROOT, HEAD)}
    return [file for file in files if file.parent in folders]


def read(source: Path, files: list[Path]) -> Annotations:
    """Read the XML files of ``source`` and its subfolders.

    An XML file belongs to the image with the same name, or else to the image in its ``filename``. For
    ``a/b/c.xml``, the image is searched in the subfolders ``JPEGImages``, ``images`` and ``JPEGImages-*`` of ``a``,
    ``a/b`` and ``source``, and then directly in ``a/b`` and ``source``. Other images in a folder where an image was
    found have no boxes and come last.
    """
    annotations = Annotations([], [], files)
    folders: dict[Path, dict[str, Path]] = {}
    near = {parent: _image_folders(parent, source) for parent in {file.parent for file in files}}
    for file in files:
        _read_file(file, near[file.parent], annotations, folders)
    used = {image.path for image in annotations.images}
    for images in folders.values():
        if not used.isdisjoint(images.values()):
            for path in images.values():
                if path not in used:
                    annotations.add_image(path.name, path, None, str(path))
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


def _read_file(file: Path, near: list[Path], annotations: Annotations, folders: dict[Path, dict[str, Path]]) -> None:
    root = _parse(file)
    file_name = root.findtext("filename", "").strip()
    path = _image_path(file, file_name, near, folders)
    if path and file_name and path.stem not in (scene_name(file_name), file_name):
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


def _parse(file: Path) -> ET.Element:
    try:
        root: ET.Element = ElementTree.parse(file).getroot()
    except ET.ParseError as error:
        raise UserError(f"{file}:{error.position[0]}: invalid XML ({error}); correct or remove the file") from error
    except (DefusedXmlException, LookupError, ValueError) as error:
        raise UserError(f"{file}: unsupported XML ({error}); save it as plain XML in UTF-8") from error
    if root.tag != "annotation":
        raise UserError(f"{file}: the root element is <{root.tag}>, not <annotation>; move the file to another folder")
    return root


def _image_folders(parent: Path, source: Path) -> list[Path]:
    """Return the folders to search for the images of XML files in ``parent``, in this order."""
    above = dict.fromkeys((parent.parent, parent, source))
    inside = [folder for root in above for folder in (*(root / name for name in IMAGE_FOLDERS), *visible(root, PARTS))]
    return list(dict.fromkeys((*inside, parent, source)))


def _image_path(file: Path, file_name: str, near: list[Path], folders: dict[Path, dict[str, Path]]) -> Path | None:
    for stem in dict.fromkeys((file.stem, scene_name(file_name), file_name)):
        for folder in near:
            if folder not in folders:
                folders[folder] = images_by_stem(folder)
            if stem in folders[folder]:
                return folders[folder][stem]
    return None


def _size(root: ET.Element, file: Path) -> tuple[int, int] | None:
    """Return the width and height in the file; None for 0 x 0, which some tools write if the size is unknown."""
    sides = root.findtext("size/width") or "0", root.findtext("size/height") or "0"
    try:
        width, height = map(int, sides)
    except ValueError:
        raise UserError(f"{file}: size is {sides}; width and height must be integers") from None
    return (width, height) if width or height else None


def _box(item: ET.Element, file: Path, place: str, annotations: Annotations) -> tuple[float, float, float, float]:
    if (turned := item.find("robndbox")) is not None:  # written by roLabelImg
        annotations.report_once(file, "turned-box", place, "box is rotated (robndbox)", "its bounding box is used")
        x, y, width, height, angle = _numbers(turned, ("cx", "cy", "w", "h", "angle"), place)
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        half_width, half_height = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
        return x - half_width, y - half_height, x + half_width, y + half_height
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
