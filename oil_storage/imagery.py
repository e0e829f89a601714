"""Scene images: what a header says, and pixels that are whole or refused."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from oil_storage.errors import UserError
from oil_storage.georeference import TIFF_SUFFIXES

Image.MAX_IMAGE_PIXELS = None  # a scene may be larger than what Pillow takes for an attack

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
EIGHT_BIT_MODES = ("L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
JPEG_FORMATS = ("JPEG", "MPO")
EXIF_ORIENTATION = 0x0112
TOO_DEEP = "more than 8 bits a band; scale it to 8 bits first"
"""Decoding would keep 8 without asking which."""
ONE_BIT = "1 bit a pixel, as masks have; give the scene itself"


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says about itself.

    Attributes:
        width: as stored, pixels.
        height: as stored, pixels.
        bands: as stored; a palette counts as the three colours it stands for.
        unfit: why its pixels are not those of one picture of 8 bits a band, and what to do; None where they are.
        orientation: EXIF's, 1 to 8; 1 is upright.
    """

    width: int
    height: int
    bands: int
    unfit: str | None
    orientation: int


def read_header(path: Path) -> ImageHeader:
    """Read an image's header; its pixels are not decoded.

    Raises:
        UserError: not an image.
    """
    if path.is_fifo():  # whose end nobody knows
        raise UserError(f"{path}: not a file, but a named pipe; remove it")
    tiff = _read_tiff_header(path) if path.suffix.lower() in TIFF_SUFFIXES else None
    if tiff and tiff.unfit:
        return tiff
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:  # the error says it
            bands = 3 if image.mode == "P" else len(image.getbands())
            orientation = Image.Image.getexif(image).get(EXIF_ORIENTATION, 1)  # PNG's own would decode the pixels
            return ImageHeader(*image.size, bands, _unfit(image), orientation)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not an image that can be opened ({error}); replace or remove it") from error


def _unfit(image: ImageFile.ImageFile) -> str | None:
    if image.mode == "1":
        return ONE_BIT
    # Pillow calls colours of 16 bits RGB too; its decoders' arguments tell
    return None if image.mode in EIGHT_BIT_MODES and ";16" not in str(image.tile) else TOO_DEEP


def _read_tiff_header(path: Path) -> ImageHeader | None:
    """What GDAL says of a TIFF: Pillow reads signed bytes as others, the first of several pages, and not every band."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with warnings.catch_warnings(action="ignore"), rasterio.open(path) as raster:
            unfit = None
            if set(raster.dtypes) == {"int8"}:
                unfit = "signed bytes, -128 to 127; save it with 0 to 255 (gdal_translate -ot Byte -scale)"
            elif set(raster.dtypes) != {"uint8"}:
                unfit = TOO_DEEP
            elif raster.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
                unfit = ONE_BIT
            elif raster.count > 4:
                unfit = f"{raster.count} bands; save red, green and blue alone (gdal_translate -b 3 -b 2 -b 1, or so)"
            elif len(raster.subdatasets) > 1:
                unfit = f"{len(raster.subdatasets)} pages; save the one that is the scene as a file of its own"
            return ImageHeader(raster.width, raster.height, raster.count, unfit, 1)
    except RasterioError:
        return None


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Decode an image of 8 bits a band as it is stored: alpha is dropped, EXIF turns nothing.

    OpenCV would fill the missing end of a damaged file with grey, and Pillow what is damaged in the middle of a JPEG.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        UserError: not an image, a part of one, or a JPEG whose decoder complains. JPEG has no checksum: damage that
            leaves a valid stream of the right length is not seen.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:  # the error says it
            if image.format in JPEG_FORMATS and image.mode in ("L", "RGB"):
                pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(path.read_bytes(), "RGB", strict=True)
                return pixels
            return np.asarray(image.convert("RGB"))
    except MemoryError as error:
        raise UserError(f"{path}: its pixels do not fit into memory; cut it, or mend its header") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be decoded ({error}); the file is damaged, replace it") from error
