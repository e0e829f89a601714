"""The formats by name, and the one that a folder has."""

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
}
"""The files by which a format is known; its code is the module of this package that has its name.

``annotation_files(source)`` of a module returns the annotation files of a folder, none where it has another format.
``read(source, files)`` returns what they state, in their order; it raises :class:`~oil_storage.errors.UserError` with
the file and the line, or the entry, of what cannot be read. ``write(scenes, out)`` writes boxes to a folder that holds
the images already, in its folder ``IMAGES``.
"""
WRITABLE = tuple(name for name in FORMATS if name != "tfrecord")


def detect(source: Path) -> str:
    """Return the name of the format that ``source`` has.

    Raises:
        UserError: no such folder, or the files of none or of several formats in it.
    """
    if not source.is_dir():
        raise UserError(f"{source}: {'is a file' if source.exists() else 'no such folder'}; SOURCE must be a folder")
    names = [name for name in FORMATS if _module(name).annotation_files(source)]
    if len(names) > 1:
        raise UserError(f"{source}: {' and '.join(names)} would fit; choose one with --format")
    if not names:
        signs = "; ".join(f"{name}: {files}" for name, files in FORMATS.items())
        raise UserError(f"{source}: has none of the formats that are known; looked for\n{signs}")
    return names[0]


def read(source: Path, name: str | None = None) -> Annotations:
    """Read ``source`` in the format called ``name``, or in the one that it has.

    Raises:
        UserError: see :func:`detect`; no such files; or something in them that cannot be read, with its place.
    """
    name = name or detect(source)
    files = _module(name).annotation_files(source)
    if not files:
        raise UserError(f"{source}: has no {name} annotations; looked for {FORMATS[name]}")
    annotations: Annotations = _module(name).read(source, files)
    return annotations


def write(scenes: Sequence["Scene"], out: Path, name: str) -> None:
    """Write images and boxes to ``out``, which appears when it is complete.

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
        UserError: a file, or a folder that is not empty.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; name another OUT, or delete this one")


def _module(name: str) -> ModuleType:
    return import_module(f"oil_storage.annotations.{name}")
