"""Open image files, and read their size, orientation and georeference."""

import os
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np

from oil_storage.errors import UserError
from oil_storage.georeference import Georeference, georeference_of

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jp2", ".j2k", ".img", ".ntf", ".nitf", ".vrt"),
)
"""Suffixes of image files, in lower case."""
DRIVERS = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "GTiff"),
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"EHFA_HEADER_TAG": "HFA",
    b"NITF": "NITF",
    b"NSIF": "NITF",
}
"""GDAL driver for each file signature; file name suffixes are often wrong."""
VRT_ROOT = b"<VRTDataset"
"""Root element of a VRT file, which lists other rasters."""
WHOLE = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Drivers that decode the whole file once; the others read single windows of it."""
MOST_PIXELS, LONGEST_SIDE = 2**36, 2**20
"""Maximum number of pixels, about 262,000 per side, and maximum side. A header that states more is damaged."""
DENSEST, SMALL = 4096, 2**28
"""Maximum number of pixels per byte of a file with more than :data:`SMALL` pixels. Deflate of one colour has 344."""
DECODED = 4
"""Bytes of memory that decoding and conversion need for each byte of an image that is decoded as a whole."""
ORIENTATION = 0x0112
"""Number of the orientation tag in EXIF and TIFF. The value of the tag gives the rotation of the stored pixels."""
TRANSPOSED, FLIPPED_X, FLIPPED_Y = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
"""Values of the orientation tag for which the stored pixels must be transposed, then flipped along x, then along y."""

# GDAL reads these variables when it decodes its first block. Values that the user has set take precedence.
os.environ.setdefault("GDAL_CACHEMAX", "256")  # in MiB; enough for two rows of tiles of a scene of 60,000 px
os.environ.setdefault("GDAL_PNG_WHOLE_IMAGE_OPTIM", "NO")  # the optimised reader accepts truncated files


@dataclass(frozen=True)
class ImageHeader:
    """Header of an image file.

    Attributes:
        width, height: size of the upright image, in pixels.
        bands: number of bands.
        orientation: value of the orientation tag, 1 to 8; 1 if the stored pixels are upright.
        georeference: location on the ground; None if the file does not state it.
    """

    width: int
    height: int
    bands: int
    orientation: int
    georeference: Georeference | None


class ImagePath(Protocol):
    """Path of an image, or an object with those attributes of a path that reading an image needs."""

    @property
    def name(self) -> str:
        """File name without folders."""

    def __fspath__(self) -> str:
        """Return the name by which GDAL opens the file."""

    def exists(self) -> bool:
        """Return whether there is a file or folder."""

    def is_file(self) -> bool:
        """Return whether there is a file."""

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Open the file for reading; a remote file may end after its first bytes."""

    def read_bytes(self) -> bytes:
        """Read the whole file."""


def open_raster(path: ImagePath) -> Any:
    """Open an image with GDAL, by the driver for its first bytes.

    Raises:
        UserError: there is no such file, it is not an image, or its header states more pixels than it can have, or
            than fit in the free memory.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning

    if not path.is_file():  # opening a named pipe would block
        raise UserError(f"{path}: {'not a regular file' if path.exists() else 'no such image file'}")
    try:
        with path.open("rb") as file:
            start = file.read(1024)
        driver = next((driver for magic, driver in DRIVERS.items() if start.startswith(magic)), None)
        driver = "VRT" if driver is None and VRT_ROOT in start else driver
        if driver is None:
            raise ValueError("unknown format")
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
            raster = rasterio.open(os.fspath(path), driver=driver)
            with suppress(CPLE_BaseError):  # damaged EXIF raises once; the pixels are intact
                raster.tags()
            with suppress(CPLE_BaseError):
                raster.colorinterp  # noqa: B018
    except UserError:
        raise
    except Exception as error:  # GDAL's errors have no public base class
        reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{path.name}: ")
        remedy = "replace it, or convert it: gdal_translate -co COMPRESS=DEFLATE IN.tif OUT.tif"
        raise UserError(f"{path}: cannot be opened as an image ({reason}); {remedy}") from error
    _check_size(path, raster)
    return raster


def _check_size(path: ImagePath, raster: Any) -> None:
    """Raise UserError if the header states more pixels than the file can have, or than fit in the free memory."""
    pixels, size = raster.width * raster.height, f"{raster.width} x {raster.height} px"
    if pixels > MOST_PIXELS or max(raster.width, raster.height) > LONGEST_SIDE:
        raise UserError(f"{path}: damaged header (states {size}); replace the file")
    if isinstance(path, Path) and raster.driver != "VRT" and pixels > max(SMALL, DENSEST * path.stat().st_size):
        raise UserError(
            f"{path}: damaged header (states {size} in {path.stat().st_size:,} bytes); replace the file, or leave out "
            "the empty part of the scene: gdal_translate -srcwin X Y WIDTH HEIGHT IN OUT.tif"
        )
    if raster.driver in WHOLE:
        needed = DECODED * pixels * max(3, raster.count) * np.dtype(raster.dtypes[0]).itemsize
        if needed > (free := free_memory()):
            raise UserError(
                f"{path}: {size} need {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; convert "
                "it to a format that is read in parts: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN OUT.tif"
            )


def free_memory() -> int:
    """Return the number of bytes of memory that are available to this process, within the limit of its container."""
    stated = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = int(stated[1]) << 10 if stated else 2**40
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with suppress(OSError, ValueError):  # no limit is "max"
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(0, free)


def header_of(path: ImagePath, raster: Any) -> ImageHeader:
    """Return the header of an image that is open in GDAL."""
    georeference = georeference_of(raster)
    orientation = 1 if georeference else _orientation(path, raster)  # a georeference is for the stored pixels
    height, width = raster.shape[::-1] if orientation in TRANSPOSED else raster.shape
    return ImageHeader(width, height, raster.count, orientation, georeference)


def _orientation(path: ImagePath, raster: Any) -> int:
    from PIL import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    Image.MAX_IMAGE_PIXELS = None  # Pillow rejects large scenes by default
    try:
        if raster.driver == "GTiff":  # Pillow can read the tags of TIFFs that it cannot open
            with path.open("rb") as file:
                start = file.read(8)
                tags = ImageFileDirectory_v2(start + file.read(8) if b"+" in start[:4] else start)  # BigTIFF
                file.seek(tags.next)
                tags.load(file)
                orientation = tags.get(ORIENTATION, 1)
        else:
            with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
                orientation = Image.Image.getexif(image).get(ORIENTATION, 1)  # PngImageFile.getexif decodes the pixels
    except Exception:  # damaged tags raise many types of errors, but GDAL can read the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def read_header(path: ImagePath) -> ImageHeader:
    """Read the header of an image; raise UserError if the file cannot be opened as an image."""
    with open_raster(path) as raster:
        return header_of(path, raster)


def read_georeference(path: Path) -> Georeference | None:
    """Read the georeference of an image; return None if it has none."""
    return read_header(path).georeference


def vrt_sources(path: Path) -> list[Path]:
    """Return the existing files that a VRT lists; empty for other images.

    Raises:
        UserError: the file cannot be opened as an image.
    """
    with open_raster(path) as raster:
        files = [Path(file) for file in raster.files] if raster.driver == "VRT" else []
    return [file for file in files if file.is_file() and file != path]
