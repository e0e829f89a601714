"""The formats by name, and which one a folder has."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from oil_storage.annotations.record import Annotations
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder

if TYPE_CHECKING:
    from oil_storage.scene import Scene


@dataclass(frozen=True)
class Format:
    """One way to keep boxes; its code is the module of this package that has its name.

    Attributes:
        signs: the files by which it is known.
        is_writable: whether it can be written, too.
    """

    signs: str
    is_writable: bool = True


FORMATS = {
    "airbus": Format("annotations.csv"),
    "coco": Format("*.json, annotations/*.json"),
    "voc": Format("*.xml, */*.xml"),
    "yolo": Format("labels/, */labels/, classes.txt"),
    "tfrecord": Format("*.record, *.tfrecord", is_writable=False),
    "geojson": Format("*.geojson, images/*.geojson"),
}
WRITABLE = tuple(name for name, one in FORMATS.items() if one.is_writable)


def detect(source: Path) -> str:
    """The name of the format that ``source`` has.

    Raises:
        UserError: no such folder, or the signs of none or of several formats in it.
    """
    if not source.is_dir():
        raise UserError(f"{source}: {'is a file' if source.exists() else 'no such folder'}; SOURCE must be a folder")
    fitting = [name for name in FORMATS if _module(name).is_format_of(source)]
    if len(fitting) > 1:
        raise UserError(f"{source}: {' and '.join(fitting)} would fit; choose one with --format")
    if not fitting:
        signs = "; ".join(f"{name}: {one.signs}" for name, one in FORMATS.items())
        raise UserError(f"{source}: has none of the formats that are known; looked for\n{signs}")
    return fitting[0]


def read(source: Path, name: str | None = None) -> Annotations:
    """Read ``source`` in the format called ``name``, or in the one that it has.

    Raises:
        UserError: see :func:`detect` and ``read`` of the format's module.
    """
    annotations: Annotations = _module(name or detect(source)).read(source)
    return annotations


def write(scenes: Sequence["Scene"], out: Path, name: str) -> None:
    """Write scenes, images and boxes, to ``out``, which appears when all of it is there.

    Raises:
        UserError: ``out`` exists and is not an empty folder.
    """
    out = out.resolve()
    check_is_free(out)
    with atomic_folder(out) as partial:
        _module(name).write(scenes, partial)
        check_is_free(out)  # another process may have written it meanwhile


def check_is_free(out: Path) -> None:
    """Refuse what is there and not an empty folder.

    Raises:
        UserError: says so.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; name another OUT, or delete this one")


def _module(name: str) -> ModuleType:
    return import_module(f"oil_storage.annotations.{name}")
