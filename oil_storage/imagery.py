"""Scene images: what a header says, and pixels that are whole or refused."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from oil_storage.errors import UserError

Image.MAX_IMAGE_PIXELS = None  # a scene may be larger than what Pillow takes for an attack

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says about itself.

    Attributes:
        width: as stored, pixels.
        height: as stored, pixels.
        is_eight_bit: at most 8 bits a band; of more, decoding would keep 8 without asking which.
        orientation: EXIF's, 1 to 8; 1 is upright.
    """

    width: int
    height: int
    is_eight_bit: bool
    orientation: int


def read_header(path: Path) -> ImageHeader:
    """Read an image's header; its pixels are not decoded.

    Raises:
        UserError: not an image.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:  # the error says it
            # Pillow calls colours of 16 bits RGB too; its decoders' arguments tell
            is_eight_bit = image.mode in EIGHT_BIT_MODES and ";16" not in str(image.tile)
            orientation = Image.Image.getexif(image).get(EXIF_ORIENTATION, 1)  # PNG's own would decode the pixels
            return ImageHeader(*image.size, is_eight_bit, orientation)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not an image that can be opened ({error}); replace or remove it") from error


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Decode an image of 8 bits a band as it is stored: alpha is dropped, EXIF turns nothing.

    OpenCV would fill the missing end of a damaged file with grey.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        UserError: not an image, or a part of one.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:  # the error says it
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be decoded ({error}); the file is damaged, replace it") from error
