"""Image files of a data set."""

import glob
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tqdm import tqdm

from oil_storage.errors import UserError
from oil_storage.files import read_text, visible
from oil_storage.georeference import APPENDED, sidecar_endings, sidecars
from oil_storage.image_file import SUFFIXES, read_header
from oil_storage.scene import Scene

logger = logging.getLogger(__name__)
SIDECARS = (*APPENDED, *{ending for suffix in SUFFIXES for ending in sidecar_endings(suffix)})
"""Endings of the names of files that belong to an image, in lower case."""
SHOWN = 5
"""Maximum number of subfolders that a message names."""
LIST = ".txt"
"""Suffix of files that list scenes."""


class _Named(Protocol):
    @property
    def stem(self) -> str: ...
    def __fspath__(self) -> str: ...


Named = TypeVar("Named", bound=_Named)
"""Type of scenes with a name."""


def images_in(folder: Path) -> list[Path]:
    """Return the visible images of a folder, without subfolders, sorted by name; empty if there is no such folder."""
    return images_among(visible(folder, "*"))


def images_among(files: Iterable[Path]) -> list[Path]:
    """Return the files with the suffix of an image.

    Raises:
        UserError: a file name is not UTF-8, so annotation files cannot contain it.
    """
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    for path in images:
        if path.name != path.name.encode(errors="ignore").decode():
            raise UserError(f"{path.parent}: the file name {path.name!a} is not UTF-8; rename it")
    return images


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted by name.

    Raises:
        UserError: the folder has no image, or two image names differ only in the suffix.
    """
    images: dict[str, Path] = {}
    for path in images_in(folder):
        if (first := images.setdefault(path.stem, path)) != path:
            raise UserError(f"{path}: same name as {first.name} except for the suffix; rename one")
    if not images:
        problem = "no image in this folder" if folder.is_dir() else "no such folder"
        raise UserError(f"{folder}: {problem}; expected images ({', '.join(SUFFIXES)})")
    return list(images.values())


def image_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height of an image; None if it cannot be opened. The audit reports such images."""
    try:
        header = read_header(path)
    except UserError:
        return None
    return header.width, header.height


def find_scenes(named: Sequence[str]) -> list[Path]:
    """Find scenes by file name, folder, pattern or list, in the order of the arguments.

    Args:
        named: image files, folders of images, glob patterns, and ``.txt`` files with one image per line.

    Raises:
        UserError: a name matches no file, or two scenes have the same name.
    """
    return distinct(path for name in named for path in matches(name))


def distinct(paths: Iterable[Named]) -> list[Named]:
    """Return scenes without repeated ones; raise UserError if two scenes have the same name."""
    scenes: dict[str, Named] = {}
    for path in paths:
        other = scenes.setdefault(path.stem, path)
        if os.path.realpath(other) != os.path.realpath(path):  # two links to one file are allowed
            raise UserError(
                f"{path}: same scene name as {other}, so their results would overwrite each other; rename one, or run "
                "them separately with different --out"
            )
    return list(scenes.values())


def matches(name: str) -> list[Path]:
    """Return the scenes that a file name, folder, pattern or list names; raise UserError if there are none."""
    path = Path(name)
    if not name:  # Path("") would be the current folder
        raise UserError("SCENE: the name is empty; give a file or folder")
    if path.is_dir():
        if skipped := _skipped(path):
            logger.info("%s: not read: %s; convert images to GeoTIFF, and name subfolders to read them", path, skipped)
        return image_files(path)
    if path.suffix.lower() == LIST and path.is_file():
        return [path.parent / line for line in listed(path)]
    paths = [path] if path.exists() else sorted(map(Path, glob.glob(name)))
    if not paths:
        raise UserError(f"{name}: matches no file or folder; check the path")
    return paths


def listed(path: Path) -> list[str]:
    """Return the lines of a list of scenes; raise UserError if there are none."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    if not any(lines):
        raise UserError(f"{path}: the list is empty; write one scene per line")
    return [line for line in lines if line]


def _skipped(folder: Path) -> str:
    """Count the files of each type and the subfolders of a folder that are not read; return an empty text if none are.

    Hidden files and files that belong to an image are not counted.
    """
    others = [path for path in visible(folder, "*") if not path.name.lower().endswith((*SUFFIXES, *SIDECARS))]
    types = Counter(path.suffix.lower() or "without suffix" for path in others if path.is_file())
    counts = [f"{number} {suffix}" for suffix, number in types.most_common()]
    folders = [f"{path.name}/" for path in others if path.is_dir()]
    if folders:
        names = ", ".join([*folders[:SHOWN], *(["..."] if len(folders) > SHOWN else [])])
        counts.append(f"{len(folders)} {'subfolder' if len(folders) == 1 else 'subfolders'} ({names})")
    return ", ".join(counts)


def scene_name(file_name: str) -> str:
    """Return a file name without its image suffix: ``a`` for ``a.tif``. Other suffixes remain: ``a.v2``."""
    path = Path(file_name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def copy_images(scenes: Sequence[Scene], folder: Path) -> None:
    """Copy the images of scenes and their sidecar files to a new folder, with a progress bar.

    Raises:
        UserError: an image is a VRT, which would not find its sources in the new folder.
    """
    for scene in scenes:
        if scene.image.suffix.lower() == ".vrt":
            raise UserError(f"{scene.image}: a VRT has no pixels to copy; convert it: gdal_translate IN.vrt OUT.tif")
    folder.mkdir(parents=True, exist_ok=True)
    for scene in tqdm(scenes, desc="copying images", unit="scene", delay=2):
        for file in (scene.image, *sidecars(scene.image)):
            shutil.copyfile(file, folder / file.name)
