"""Annotation formats by name, and their detection."""

from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from oil_storage.annotations.record import Annotations
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder

if TYPE_CHECKING:
    from oil_storage.annotations.source import Source
    from oil_storage.scene import Scene

SHOWN = 6
"""Maximum number of file types that a message names."""
TEXT = ".txt"
"""Suffix of label files that many other files have too."""
PAM = ".aux.xml"
"""End of the names of GDAL's sidecar files."""
FORMATS = {
    "airbus": "annotations.csv with image_id, class, bounds",
    "coco": "*.json with images and annotations",
    "cvat": "*.xml of CVAT for images",
    "dota": "*.txt in labelTxt/",
    "geojson": "*.geojson, *.geojsonl",
    "label-studio": "*.json of Label Studio",
    "labelme": "*.json for each image",
    "supervisely": "ann/*.json",
    "table": "*.csv with filename, xmin, ymin, xmax, ymax",
    "tfrecord": "*.record, *.tfrecord, *.tfrec",
    "vector": "*.gpkg, *.shp, *.fgb",
    "voc": "*.xml for each image",
    "xview": "*.geojson with bounds_imcoords",
    "yolo": "labels/*.txt, or *.txt beside the images",
}
"""Files by which each format is detected, in SOURCE and its subfolders. The module of the same name, with an underscore
for a hyphen, implements the format.

Each module has three functions, or two if its format is read only. ``annotation_files(source)`` returns the annotation
files of a :class:`~oil_storage.annotations.source.Source`, or an empty list if it has another format.
``read(source, files)`` returns the content of these files in order. If it cannot read something, it raises
:class:`~oil_storage.errors.UserError` with the file and the line or entry. ``write(scenes, out)`` writes the boxes to a
folder whose subfolder ``IMAGES`` already contains the images.
"""
WRITABLE = ("airbus", "coco", "cvat", "geojson", "label-studio", "labelme", "voc", "yolo")


def detect(source: Path) -> str:
    """Return the name of the format of ``source``.

    Raises:
        UserError: the folder does not exist, or its files match no format or several formats.
    """
    return _detect(_opened(source))


def read(source: Path, name: str | None = None) -> Annotations:
    """Read ``source`` in the format ``name``, or in the detected format.

    Findings name missing shards, and files of the same type that have another content.

    Raises:
        UserError: the format cannot be detected, there are no files of the format, or a file cannot be read.
    """
    from oil_storage.annotations.shards import report_missing_shards

    opened = _opened(source)
    name = name or _detect(opened)
    files = _module(name).annotation_files(opened)
    if not files:
        raise UserError(f"{source}: no {name} annotations; expected {FORMATS[name]}, {_found(opened)}")
    annotations: Annotations = _module(name).read(opened, files)
    report_missing_shards(files, opened.images.paths, annotations)
    _report_unread(opened, files, annotations)
    return annotations


def _opened(source: Path) -> "Source":
    from oil_storage.annotations.source import Source

    if not source.is_dir():
        raise UserError(f"{source}: {'not a folder' if source.exists() else 'no such folder'}; give a folder as SOURCE")
    return Source(source)


def _detect(source: "Source") -> str:
    names = [name for name in FORMATS if _module(name).annotation_files(source)]
    if len(names) > 1:
        raise UserError(f"{source.path}: several formats match ({', '.join(names)}); choose one with --format")
    if not names:
        signs = "; ".join(f"{name}: {files}" for name, files in FORMATS.items())
        raise UserError(f"{source.path}: no known annotation format, {_found(source)}; expected one of\n{signs}")
    return names[0]


def _found(source: "Source") -> str:
    """Describe the files of a folder: ``found 3 .jpg, 3 .txt``."""
    counts = Counter(file.suffix.lower() or "without suffix" for file in source.files)
    return f"found {', '.join(f'{count} {suffix}' for suffix, count in counts.most_common(SHOWN)) or 'no file'}"


def _report_unread(source: "Source", files: Sequence[Path], annotations: Annotations) -> None:
    """Report files with the suffix of annotation files that were not read, such as damaged ones."""
    read_files = {*files, *annotations.files}
    suffixes = {file.suffix.lower() for file in files} - {TEXT}
    for file in source.with_suffix(*suffixes):
        if file not in read_files and not file.name.endswith(PAM):
            annotations.report_once(
                file.parent, "unread-file", str(file), "is empty, damaged or of another format", "not read"
            )


def write(scenes: Sequence["Scene"], out: Path, name: str) -> None:
    """Write images and boxes to a new folder ``out``. The folder appears only when it is complete.

    Raises:
        UserError: ``out`` exists and is not an empty folder.
    """
    from oil_storage.annotations.images import copy_images

    out = out.resolve()
    with atomic_folder(out) as partial:
        copy_images(scenes, partial / _module(name).IMAGES)
        _module(name).write(scenes, partial)
        check_is_free(out)


def check_is_free(out: Path) -> None:
    """Check that a path does not exist or is an empty folder.

    Raises:
        UserError: the path is a file or a folder that is not empty.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; choose a folder")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; choose another OUT, or delete this one")


def _module(name: str) -> ModuleType:
    return import_module(f"oil_storage.annotations.{name.replace('-', '_')}")
