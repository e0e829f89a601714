"""Annotation formats by name, and their detection."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from oil_storage.annotations.record import Annotations
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder

if TYPE_CHECKING:
    from oil_storage.scene import Scene

FORMATS = {
    "airbus": "annotations.csv",
    "coco": "*.json, annotations/*.json",
    "voc": "*.xml, */*.xml",
    "yolo": "labels/, */labels/, classes.txt",
    "tfrecord": "*.record, *.tfrecord",
    "geojson": "*.geojson, images/*.geojson",
    "table": "*.csv, */*.csv",
}
"""Files by which each format is detected. The module with the name of the format implements it.

Each module has three functions, or two if its format is read only. ``annotation_files(source)`` returns the annotation
files of a folder, or an empty list if the folder has another format. ``read(source, files)`` returns the content of
these files in order. If it cannot read something, it raises :class:`~oil_storage.errors.UserError` with the file and
the line or entry. ``write(scenes, out)`` writes the boxes to a folder whose subfolder ``IMAGES`` already contains the
images.
"""
WRITABLE = tuple(name for name in FORMATS if name not in ("tfrecord", "table"))


def detect(source: Path) -> str:
    """Return the name of the format of ``source``.

    Raises:
        UserError: the folder does not exist, or its files match no format or several formats.
    """
    if not source.is_dir():
        raise UserError(f"{source}: {'not a folder' if source.exists() else 'no such folder'}; give a folder as SOURCE")
    names = [name for name in FORMATS if _module(name).annotation_files(source)]
    if len(names) > 1:
        raise UserError(f"{source}: several formats match ({', '.join(names)}); choose one with --format")
    if not names:
        signs = "; ".join(f"{name}: {files}" for name, files in FORMATS.items())
        raise UserError(f"{source}: no known annotation format; expected one of\n{signs}")
    return names[0]


def read(source: Path, name: str | None = None) -> Annotations:
    """Read ``source`` in the format ``name``, or in the detected format.

    Raises:
        UserError: the format cannot be detected, there are no files of the format, or a file cannot be read.
    """
    name = name or detect(source)
    files = _module(name).annotation_files(source)
    if not files:
        raise UserError(f"{source}: no {name} annotations; expected {FORMATS[name]}")
    annotations: Annotations = _module(name).read(source, files)
    return annotations


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
    return import_module(f"oil_storage.annotations.{name}")
