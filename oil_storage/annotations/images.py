"""Image files of a data set."""

import glob
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from oil_storage.errors import UserError
from oil_storage.files import read_text
from oil_storage.georeference import sidecars
from oil_storage.imagery import SUFFIXES, read_header
from oil_storage.scene import Scene

LIST = ".txt"
"""Suffix of a file that lists scenes."""


def images_in(folder: Path) -> list[Path]:
    """Return the images of ``folder`` itself, sorted by name, without hidden files; none where there is no folder.

    Raises:
        UserError: a name that is not UTF-8, which no annotation file could hold.
    """
    if not folder.is_dir():
        return []
    images = [
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    for path in images:
        if path.name != path.name.encode(errors="ignore").decode():
            raise UserError(f"{folder}: the file name {path.name!a} is not UTF-8; rename it")
    return images


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Return the images of ``folder`` by name without suffix; see :func:`images_in`.

    Raises:
        UserError: two images whose names differ in the suffix alone.
    """
    images: dict[str, Path] = {}
    for path in images_in(folder):
        if path.stem in images:
            raise UserError(f"{path}: has the same name as {images[path.stem].name}; a scene's name must be unique")
        images[path.stem] = path
    return images


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder that must have some, sorted by name.

    Raises:
        UserError: no image in it, or two whose names differ in the suffix alone.
    """
    if images := images_by_stem(folder):
        return list(images.values())
    problem = "no image in it" if folder.is_dir() else "no such folder"
    raise UserError(f"{folder}: {problem}; put the images there ({', '.join(SUFFIXES)})")


def image_size(path: Path) -> tuple[int, int] | None:
    """Return width and height; None where the image does not open, which the audit reports."""
    try:
        header = read_header(path)
    except UserError:
        return None
    return header.width, header.height


def find_scenes(named: Sequence[str]) -> list[Path]:
    """Return the image files that file names, folders, patterns and lists mean, in order.

    Args:
        named: image files, folders of images, patterns, and ``.txt`` files that name one image a line.

    Raises:
        UserError: a name that matches nothing, or two scenes of one name.
    """
    scenes: dict[str, Path] = {}
    for path in (path for name in named for path in _matches(name)):
        other = scenes.setdefault(path.stem, path)
        if os.path.realpath(other) != os.path.realpath(path):  # which a link to itself does not upset
            raise UserError(f"{other} and {path}: results are called by the scene's name; run one of them elsewhere")
    return list(scenes.values())


def _matches(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return image_files(path)
    if path.suffix.lower() == LIST and path.is_file():
        lines = [line.strip() for line in read_text(path).splitlines()]
        if not any(lines):
            raise UserError(f"{path}: no scene in it; a list names one a line")
        return [path.parent / line for line in lines if line]
    paths = [path] if path.exists() else sorted(map(Path, glob.glob(name)))
    if not paths:
        raise UserError(f"{name}: no such file, folder, or file of this pattern")
    return paths


def scene_name(file_name: str) -> str:
    """Return a file name without its suffix where that is an image's; ``a.v2`` stays whole."""
    path = Path(file_name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def copy_images(scenes: Sequence[Scene], folder: Path) -> None:
    """Copy every image to ``folder``, which is made, under its own name; a progress bar appears after two seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in tqdm(scenes, desc="copying images", unit="scene", delay=2):
        for file in (scene.image, *sidecars(scene.image)):
            shutil.copyfile(file, folder / file.name)
