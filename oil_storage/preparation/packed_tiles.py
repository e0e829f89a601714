"""Pack the train and val tiles of a prepared folder into one small file, to train on another machine.

The file is a ZIP archive. Unpacked, it is a prepared folder with one tile set and without test tiles, scenes and
checksums. Val tiles are JPEG with a fixed quality, which scarcely changes tiles of JPEG scenes. Train tiles are WebP,
with the highest quality with which the file stays under the limit.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import cv2
import numpy as np

from oil_storage.coco import CocoFile
from oil_storage.errors import UserError
from oil_storage.files import atomic_file
from oil_storage.manifest import NAME, Manifest

MOST_BYTES = 50 * 2**20
"""Maximum size of a packed file in bytes."""
VAL_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
"""Encoding of val tiles. The Airbus scenes have the same quality, so encoding their tiles again loses little."""
QUALITIES = (95, 90, 85, 80, 75, 70, 60, 50)
"""WebP qualities of train tiles, from which the first that fits is chosen."""
SAMPLE = 24
"""Number of train tiles from which the size of all train tiles is estimated."""
RESERVE = 0.03
"""Part of the limit that the estimate leaves free."""
HEADERS = 400
"""Upper estimate of the bytes that the archive and the annotations need for a tile, besides its image."""


@dataclass(frozen=True)
class Packed:
    """Content of a packed file: number of tiles of each split, WebP quality of the train tiles, and size in bytes."""

    train: int
    val: int
    quality: int
    size: int


def pack(data: Path, tiles: str, out: Path, most: int = MOST_BYTES) -> Packed:
    """Write the train and val tiles of a prepared folder and their boxes into one file.

    Args:
        data: prepared folder.
        tiles: tile set, such as ``640_64``.
        out: ZIP file to write.
        most: maximum size of the file in bytes.

    Raises:
        UserError: the folder has no such tile set, a tile cannot be read, or the tiles do not fit into ``most`` bytes.
    """
    if not (data / NAME).is_file() or tiles not in Manifest.load(data).tiles:
        raise UserError(f"{data}: no prepared tiles {tiles}; set OIL_STORAGE_DATA to a prepared folder that has them")
    folder = data / "tiles" / tiles
    train, val = (CocoFile.load(folder / f"{split}.json") for split in ("train", "val"))
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(out) as partial:
        with zipfile.ZipFile(partial, "w") as archive:
            for path in (data / NAME, *(data / "scenes" / f"{split}.json" for split in ("train", "val"))):
                archive.write(path, path.relative_to(data), zipfile.ZIP_DEFLATED)
            _add(archive, folder, "val", val, ".jpg", VAL_JPEG)
        quality = _fitting_quality(folder / "train", train, most * (1 - RESERVE) - partial.stat().st_size)
        with zipfile.ZipFile(partial, "a") as archive:
            _add(archive, folder, "train", train, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])
        if (size := partial.stat().st_size) > most:
            raise UserError(f"{out}: {size} bytes, more than {most}; pack fewer scenes")
    return Packed(len(train.images), len(val.images), quality, size)


def unpack(path: Path, folder: Path) -> None:
    """Unpack a packed file into a prepared folder.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be unpacked ({error}); pack the tiles again") from error


def _fitting_quality(folder: Path, train: CocoFile, most: float) -> int:
    """Return the highest quality with which all train tiles are estimated to take at most ``most`` bytes."""
    step = max(1, len(train.images) // SAMPLE)
    sample = [image.file_name for image in train.images[::step]]
    for quality in QUALITIES:
        sizes = [len(_encoded(folder / name, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])) for name in sample]
        if (np.mean(sizes) + HEADERS) * len(train.images) <= most:
            return quality
    raise UserError(f"{folder}: {len(train.images)} tiles do not fit into {most:.0f} bytes; pack fewer scenes")


def _add(archive: zipfile.ZipFile, folder: Path, split: str, tiles: CocoFile, suffix: str, encoding: list[int]) -> None:
    """Add the annotations and the images of a split, encoded again."""
    inside = PurePath("tiles", folder.name)
    images = [replace(image, file_name=str(PurePath(image.file_name).with_suffix(suffix))) for image in tiles.images]
    text = replace(tiles, images=images).text()
    archive.writestr(str(inside / f"{split}.json"), text, zipfile.ZIP_DEFLATED)
    for old, new in zip(tiles.images, images, strict=True):
        archive.writestr(
            str(inside / split / new.file_name), _encoded(folder / split / old.file_name, suffix, encoding)
        )


def _encoded(path: Path, suffix: str, encoding: list[int]) -> bytes:
    image = cv2.imread(str(path))
    if image is None:
        raise UserError(f"{path}: missing or damaged; prepare the data again")
    return bytes(cv2.imencode(suffix, image, encoding)[1])
