"""The image files of a folder."""

from pathlib import Path

from oil_storage.errors import UserError
from oil_storage.imagery import SUFFIXES


def image_files(folder: Path) -> list[Path]:
    """Images of ``folder`` itself, sorted by name; hidden files and other kinds are passed over.

    Raises:
        UserError: no such folder, no image in it, or two images whose names differ in the suffix alone.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; the images must be there")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise UserError(f"{path}: has the same name as {files[path.stem].name}; a scene's name must be unique")
        files[path.stem] = path
    if not files:
        raise UserError(f"{folder}: no image in it; wanted are {', '.join(SUFFIXES)}")
    return list(files.values())
