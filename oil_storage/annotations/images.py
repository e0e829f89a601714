"""The image files of a data set."""

import glob
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from oil_storage.errors import UserError
from oil_storage.georeference import sidecars
from oil_storage.imagery import SUFFIXES, read_header
from oil_storage.scene import Scene

LIST = ".txt"
"""Suffix of a file that lists scenes."""


def image_files(folder: Path) -> list[Path]:
    """Images of ``folder`` itself, sorted by name; hidden files and other kinds are passed over.

    Raises:
        UserError: no such folder, no image in it, or two images whose names differ in the suffix alone.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; the images must be there")
    files = images_by_stem(folder)
    if not files:
        raise UserError(f"{folder}: no image in it; wanted are {', '.join(SUFFIXES)}")
    return list(files.values())


def images_by_stem(folder: Path) -> dict[str, Path]:
    """As :func:`image_files`, by name without suffix, of a folder that may have none, or be none.

    Raises:
        UserError: two images whose names differ in the suffix alone.
    """
    files: dict[str, Path] = {}
    for path in images_in(folder):
        if path.stem in files:
            raise UserError(f"{path}: has the same name as {files[path.stem].name}; a scene's name must be unique")
        files[path.stem] = path
    return files


def images_in(folder: Path) -> list[Path]:
    """Images of ``folder`` itself, sorted by name; none where there is no such folder.

    Raises:
        UserError: a name that is not UTF-8, which no annotation file could hold.
    """
    if not folder.is_dir():
        return []
    found = [
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    for path in found:
        if path.name != path.name.encode(errors="ignore").decode():
            raise UserError(f"{folder}: the file name {path.name!a} is not UTF-8; rename it")
    return found


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height, by which shares become pixels; None where the image does not open, as the audit will say."""
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
        UserError: something that is not there, nothing at all, or two scenes of one name.
    """
    found: list[Path] = []
    for name in named:
        path = Path(name)
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and one.name[0] != ".")
            if not inside:
                raise UserError(f"{path}: no image in it; scenes end in {', '.join(SUFFIXES)}")
            found += inside
        elif path.suffix.lower() == LIST and path.is_file():
            try:
                lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
            except UnicodeDecodeError as error:
                raise UserError(f"{path}: a list of scenes must be UTF-8 text ({error}); save it as that") from error
            if not any(lines):
                raise UserError(f"{path}: no scene in it; a list names one a line")
            found += [path.parent / line for line in lines if line]
        elif path.exists():
            found.append(path)
        else:
            matching = sorted(map(Path, glob.glob(name)))
            if not matching:
                raise UserError(f"{name}: no such file, folder, or file of this pattern")
            found += matching
    by_name: dict[str, Path] = {}
    for one in found:
        other = by_name.setdefault(one.stem, one)
        if os.path.realpath(other) != os.path.realpath(one):  # which a link to itself does not upset
            raise UserError(f"{other} and {one}: results are called by the scene's name; run one of them elsewhere")
    return list(by_name.values())


def scene_name(file_name: str) -> str:
    """A file name without its suffix where that is an image's; ``a.v2`` stays whole."""
    path = Path(file_name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def copy_images(scenes: Sequence[Scene], folder: Path) -> None:
    """Copy every image to ``folder``, which is made, under its own name; a progress bar appears after two seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in tqdm(scenes, desc="copying images", unit="scene", delay=2):
        for file in (scene.image, *sidecars(scene.image)):
            shutil.copyfile(file, folder / file.name)
