"""The image files of a data set."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from oil_storage.errors import UserError
from oil_storage.georeference import sidecars
from oil_storage.imagery import SUFFIXES, read_header
from oil_storage.scene import Scene


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
