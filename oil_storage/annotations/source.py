"""Folder of a data set: its files in all subfolders, and its images by the names that annotation files use."""

import codecs
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from oil_storage.annotations.images import images_among, scene_name
from oil_storage.annotations.record import Annotations
from oil_storage.errors import UserError
from oil_storage.files import read_start, walk

HEAD = 1 << 16
"""Number of bytes at the start of a file in which its format is recognized."""
BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
IMAGE_FOLDERS = ("images", "jpegimages", "img")
"""Usual names of folders of images, in lower case."""
LOCAL_FILE = re.compile(r".*[?&]d=")
"""Start of the path of a file that Label Studio serves from a local folder."""
UPLOAD_ID = re.compile(r"[0-9a-f]{8}-(?=.)")
"""Prefix that Label Studio adds to the name of an uploaded file."""
SEPARATOR = re.compile(r"[/\\]+")


class Source:
    """Folder of a data set.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def files(self) -> list[Path]:
        """Visible files of the folder and its subfolders, sorted by path."""
        return walk(self.path)

    @cached_property
    def images(self) -> "ImageIndex":
        """Images among :attr:`files`."""
        return ImageIndex(self.path, self.files)

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """Return the files with one of the suffixes, which are in lower case."""
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def starts_with(self, file: Path, *patterns: re.Pattern[str]) -> bool:
        """Return whether the first :data:`HEAD` bytes of a file contain all patterns; ``^`` is its first character."""
        start = read_start(file, HEAD)
        text = start.decode("utf-16" if start.startswith(BOMS) else "utf-8-sig", errors="replace").lstrip()
        return all(pattern.search(text) for pattern in patterns)


class ImageIndex:
    """Images of a folder and its subfolders.

    Args:
        root: the folder.
        files: files of the folder; those without the suffix of an image are ignored.

    Raises:
        UserError: a file name is not UTF-8, so annotation files cannot contain it.
    """

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        self._root = root
        self.paths = images_among(files)
        self._by_key: list[dict[str, list[Path]]] = []
        for key, _ in KEYS:
            by_key: dict[str, list[Path]] = defaultdict(list)
            for path in self.paths:
                by_key[key(path.name)].append(path)
            self._by_key.append(by_key)

    def find(self, *names: str, near: Path) -> Path | None:
        """Find the image that an annotation file names.

        Only the last part of a name must match. Its folders may be those of another computer, it may be encoded as in a
        URL, its suffix may be missing or differ, and so may upper and lower case. Exact matches come first. Among
        several images with the same name, one with the named folders is taken, then one in folders with the same names
        as those of the annotation file, then the nearest one.

        Args:
            names: names of the image, in order of precedence.
            near: annotation file.

        Returns:
            Path: the image; None if there is no image of these names.

        Raises:
            UserError: several images match equally well.
        """
        for name in filter(None, names):
            for written in _spellings(name):
                for (_, key), by_key in zip(KEYS, self._by_key, strict=True):
                    if paths := by_key.get(key(SEPARATOR.split(written)[-1])):
                        return self._best(paths, written, near)
        return None

    def neighbours(self, images: Iterable[Path]) -> list[Path]:
        """Return the other images in the folders of the given images."""
        known = set(images)
        folders = {path.parent for path in known}
        return [path for path in self.paths if path.parent in folders and path not in known]

    def _best(self, paths: list[Path], written: str, near: Path) -> Path:
        if len(paths) == 1:
            return paths[0]
        folders = SEPARATOR.split(written)[-2::-1]
        about = {part.lower() for part in near.relative_to(self._root).parent.parts}

        def rank(path: Path) -> tuple[int, ...]:
            parts = path.relative_to(self._root).parent.parts
            pairs = list(zip(folders, reversed(parts), strict=False))
            named = next((index for index, (one, other) in enumerate(pairs) if one != other), len(pairs))
            shared = sum(part.lower() in about or part in near.stem for part in parts)
            distance = len(Path(os.path.relpath(path.parent, near.parent)).parts)
            return -named, -shared, distance, not (parts and parts[-1].lower() in IMAGE_FOLDERS)

        first, second, *_ = sorted(paths, key=rank)
        if rank(first) == rank(second):
            raise UserError(
                f"{near}: {len(paths)} images have the name {scene_name(SEPARATOR.split(written)[-1])!r}, for example "
                f"{first} and {second}; rename or remove one, or write its folder in the annotation file"
            )
        return first


def add_backgrounds(annotations: Annotations, source: Source) -> None:
    """Add the images beside those of the annotations. They have no label file, and so no boxes."""
    for path in source.images.neighbours(image.path for image in annotations.images if image.path):
        annotations.add_image(path.name, path, None, str(path))


def report_unlisted(annotations: Annotations, source: Source) -> None:
    """Report the images beside those of the annotations, which are left out, because they may have unlabelled tanks."""
    for path in source.images.neighbours(image.path for image in annotations.images if image.path):
        annotations.report_once(
            path.parent, "unlisted-image", str(path), "no annotation file lists this image", "left out"
        )


def base_name(written: str) -> str:
    """Return the name of the scene in a written path: without folders, also those of Windows, and suffix."""
    return scene_name(SEPARATOR.split(written.strip())[-1])


def _spellings(name: str) -> list[str]:
    """Return a name as it is written and without the changes of web tools."""
    plain = unquote(LOCAL_FILE.sub("", name))
    *folders, last = SEPARATOR.split(plain)
    return list(dict.fromkeys((name, plain, "/".join((*folders, UPLOAD_ID.sub("", last))))))


def _loose(name: str) -> str:
    """Return a name as web tools write it, with underscores for spaces and other special characters."""
    return re.sub(r"[^\w.-]", "_", scene_name(name)).casefold()


def _folded_stem(name: str) -> str:
    return scene_name(name).casefold()


KEYS: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (str, str),
    (scene_name, str),
    (scene_name, scene_name),
    (str.casefold, str.casefold),
    (_folded_stem, str.casefold),
    (_folded_stem, _folded_stem),
    (_loose, _loose),
)
"""Pairs of functions that give the same text for the name of an image and for a name that stands for it; the strictest
pair first."""
