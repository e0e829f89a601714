"""Read pixels, size and georeference of scenes; audit, preparation, detection and reports use this module.

GDAL opens every file. libjpeg-turbo decodes grey and RGB JPEGs, because it reports damage that GDAL ignores.
"""

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.georeference import TIFF_SUFFIXES, Georeference, georeference_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
DRIVERS = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "GTiff"),
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"GIF8": "GIF",
}
"""GDAL's drivers by the first bytes of a file; suffixes are often wrong, and other drivers may open more files."""
WINDOWED = "GTiff"
"""The driver whose files are read in windows; other files are decoded once, as a whole."""
STRETCH = (2.0, 98.0)
"""Default percentiles that become 0 and 255 if a band has more than 8 bits."""
MOST_PIXELS = 2**40
"""An image with more pixels in its header, a million a side, is damaged."""
SAMPLE_SIDE = 1024
"""Longest side, in pixels, of the reduced scene that percentiles are taken from."""
ROWS = 256
"""Rows of a scene that are stretched at a time."""
ORIENTATION = 0x0112
"""Tag of EXIF and TIFF."""
TRANSPOSED, FLIPPED_X, FLIPPED_Y = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations whose stored pixels are transposed, then flipped along x or y, to be upright."""

# GDAL reads these at its first block; a user's own settings stay
os.environ.setdefault("GDAL_CACHEMAX", "256")  # MiB: two rows of tiles of 60,000 px; the default grows with memory
os.environ.setdefault("GDAL_PNG_WHOLE_IMAGE_OPTIM", "NO")  # the fast path takes a part of a file for the whole


@dataclass(frozen=True)
class Reading:
    """Choice of bands and stretch that turns a scene into RGB of 8 bits.

    Attributes:
        bands: red, green and blue band, counted from 1; None takes those that the file declares.
        stretch: percentiles of each band that become 0 and 255; None stretches bands of more than 8 bits alone, by
            :data:`STRETCH`.
    """

    bands: tuple[int, int, int] | None = None
    stretch: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a band below 1, or percentiles that do not rise within 0 to 100."""
        if self.bands and min(self.bands) < 1:
            raise ValueError("bands must be three numbers from 1 up, as 3,2,1")
        if self.stretch and not 0 <= self.stretch[0] < self.stretch[1] <= 100:
            raise ValueError("stretch must be two percentiles, as 2,98")


DEFAULT_READING = Reading()
"""Colours by the file's colour interpretation, 8 bits unchanged, others stretched."""


@dataclass(frozen=True)
class ImageHeader:
    """Header of an image file.

    Attributes:
        width, height: size of the upright image, pixels.
        bands: number of bands.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        georeference: place on the ground; None where the file has none.
    """

    width: int
    height: int
    bands: int
    orientation: int
    georeference: Georeference | None


class ArrayImage:
    """A scene whose pixels ``(H, W, 3)``, uint8 RGB, are in memory; see :class:`FileImage`."""

    file_name = "array"
    georeference: Georeference | None = None

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]
        self.notes: dict[str, str] = {}

    def read(self, window: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a window as ``(H, W, 3)`` RGB."""
        x1, y1, x2, y2 = window.tolist()
        return self.pixels[y1:y2, x1:x2]

    def shows(self, window: NDArray[np.int64]) -> bool:
        """Return whether any pixel of a window has data; here every pixel has."""
        return True

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """Return the whole scene, its longer side at most ``longest`` pixels."""
        return _shrunk(self.pixels, longest)


class FileImage:
    """A scene in a file; width, height and georeference are those of its :class:`ImageHeader`.

    Attributes:
        file_name: file name without folders.
        notes: changes made to the stored pixels, by the name of an audit's check.

    Raises:
        UserError: not an image, a compression that is not read, several pages, bands that do not exist or must be
            named, a mask of 1 bit, complex numbers, or a palette that is to be stretched.
    """

    def __init__(self, path: Path, reading: Reading = DEFAULT_READING) -> None:
        self.file_name, self.path = path.name, path
        self.notes: dict[str, str] = {}
        self._raster = _open(path)
        self._structure = self._raster.tags(ns="IMAGE_STRUCTURE")
        header = _header(path, self._raster)
        self.width, self.height, self.georeference = header.width, header.height, header.georeference
        self._orientation = header.orientation
        palette = _palette(self._raster)
        self._bands = self._select_bands(reading.bands, palette is not None)
        self._palette = palette if set(self._bands) == {1} else None
        # 0 if a value has all bits of its type
        self._bits = int(self._raster.tags(self._bands[0], ns="IMAGE_STRUCTURE").get("NBITS", 0))
        self._check_supported()
        if reading.stretch and self._palette is not None:
            raise UserError(f"{path}: has the colours of a palette, which cannot be stretched; give --stretch none")
        is_deep = self._palette is None and {self._raster.dtypes[band - 1] for band in self._bands} != {"uint8"}
        self._stretch = reading.stretch or (STRETCH if is_deep else None)
        if self._stretch:
            self.notes["stretched"] = "percentiles {:g} and {:g} of each band become 0 and 255".format(*self._stretch)
        if self._orientation != 1:
            self.notes["exif-rotated"] = f"EXIF orientation {self._orientation}: turned upright"

    def _select_bands(self, bands: tuple[int, int, int] | None, has_palette: bool) -> list[int]:
        from rasterio.enums import ColorInterp

        count = self._raster.count
        if bands is not None:
            if absent := [band for band in bands if band > count]:
                raise UserError(f"{self.path}: has no band {absent[0]}; there are 1 to {count}, name three of them")
            return list(bands)
        kinds = list(self._raster.colorinterp)
        colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        without_alpha = count - (ColorInterp.alpha in kinds)
        if set(colours) <= set(kinds):
            chosen = [kinds.index(colour) + 1 for colour in colours]
        elif without_alpha > 3:  # the first band of a sensor of four is usually blue
            raise UserError(f"{self.path}: {count} bands; say which are red, green and blue with --bands, as 3,2,1")
        else:
            chosen = [1, 1, 1] if without_alpha < 3 else [1, 2, 3]
        is_grey = chosen == [1, 1, 1]
        if (count, chosen) != (3, [1, 2, 3]) and not (is_grey and has_palette):
            colour = "the first is read as grey" if is_grey else f"{chosen} are read as red, green and blue"
            self.notes["bands"] = f"has {count} band{'s' if count > 1 else ''}; {colour}"
        return chosen

    def _check_supported(self) -> None:
        """Refuse pixels that are not the brightness of one picture."""
        frames = self._raster.count if self._raster.driver == "GIF" else 1
        if (pages := max(len(self._raster.subdatasets), frames)) > 1:
            raise UserError(f"{self.path}: {pages} pages; save the one that is the scene as a file of its own")
        if any(self._raster.dtypes[band - 1].startswith("complex") for band in self._bands):
            raise UserError(f"{self.path}: complex numbers, which are not a brightness; save their amplitude")
        if self._bits == 1:
            raise UserError(f"{self.path}: 1 bit a pixel, probably a mask; give the scene itself")
        space = self._structure.get("SOURCE_COLOR_SPACE")
        if self._orientation != 1 and self._raster.driver == WINDOWED and space:  # libtiff would turn each strip
            raise UserError(f"{self.path}: a TIFF in {space} with orientation {self._orientation}; save it upright")

    def read(self, window: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a window, ``(4,)`` xyxy within the scene, as ``(H, W, 3)`` RGB.

        Raises:
            UserError: the file is damaged there, or a band to be stretched has only one value.
        """
        x1, y1, x2, y2 = self._stored(window)
        if self._raster.driver == WINDOWED:
            return self._to_rgb(self._decode(window=((y1, y2), (x1, x2))))
        return self._to_rgb(self._decoded[:, y1:y2, x1:x2])

    def pixels(self) -> NDArray[np.uint8]:
        """Return the whole scene as ``(H, W, 3)`` RGB; see :meth:`read`."""
        return self.read(np.array([0, 0, self.width, self.height]))

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """Return the whole scene, its longer side at most ``longest`` pixels; raises what :meth:`read` raises."""
        if self._raster.driver != WINDOWED:
            return _shrunk(self.pixels(), longest)
        return self._to_rgb(self._decode(out_shape=(3, *_reduced_size(self._raster.shape, longest))))

    def shows(self, window: NDArray[np.int64]) -> bool:
        """Return whether any pixel of a window has data; raise UserError if the file is damaged there."""
        from rasterio.enums import MaskFlags

        if all(MaskFlags.all_valid in self._raster.mask_flag_enums[band - 1] for band in self._bands):
            return True
        x1, y1, x2, y2 = self._stored(window)
        try:
            if self._raster.driver == WINDOWED:
                return bool(self._raster.dataset_mask(window=((y1, y2), (x1, x2))).any())
            return bool(self._mask[y1:y2, x1:x2].any())
        except Exception as error:  # see _decode
            raise self._damaged(error) from error

    @cached_property
    def _decoded(self) -> Any:
        return self._decode()

    @cached_property
    def _mask(self) -> Any:
        return self._raster.dataset_mask()

    def _stored(self, window: NDArray[np.int64]) -> tuple[int, int, int, int]:
        """Return where a window of the upright scene is stored, xyxy."""
        x1, y1, x2, y2 = window.tolist()
        if self._orientation in FLIPPED_X:
            x1, x2 = self.width - x2, self.width - x1
        if self._orientation in FLIPPED_Y:
            y1, y2 = self.height - y2, self.height - y1
        return (y1, x1, y2, x2) if self._orientation in TRANSPOSED else (x1, y1, x2, y2)

    def _decode(self, **arguments: Any) -> Any:
        """Decode the chosen bands, ``(3, H, W)`` as stored."""
        import simplejpeg

        is_inked = self._structure.get("SOURCE_COLOR_SPACE") in ("CMYK", "YCCK")
        try:
            if self._raster.driver == "JPEG" and not is_inked and not arguments:
                decoded = simplejpeg.decode_jpeg(self.path.read_bytes(), "RGB", strict=True)
                return np.moveaxis(decoded, 2, 0)[[band - 1 for band in self._bands]]
            return self._raster.read(self._bands, **arguments)
        except Exception as error:  # GDAL's errors have no public base
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        if isinstance(error, MemoryError):
            return UserError(f"{self.path}: its pixels do not fit into memory; cut it, or mend its header")
        reason = error.__cause__ or error  # rasterio only points at the reason
        return UserError(f"{self.path}: cannot be decoded ({reason}); the file is damaged, replace it")

    def _to_rgb(self, bands: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn stored bands ``(3, H, W)`` into upright pixels ``(H, W, 3)`` of 8 bits."""
        if self._palette is not None:
            pixels: NDArray[Any] = self._palette[bands[0]]
        else:
            pixels = np.moveaxis(bands, 0, 2)
            if self._stretch:
                pixels = _stretched(bands, self._limits)
            elif self._bits:
                pixels = np.rint(pixels * (255 / (2**self._bits - 1))).astype(np.uint8)
            if self._structure.get("MINISWHITE") == "YES":
                pixels = 255 - pixels
        if self._orientation in TRANSPOSED:
            pixels = pixels.swapaxes(0, 1)
        if self._orientation in FLIPPED_X:
            pixels = pixels[:, ::-1]
        if self._orientation in FLIPPED_Y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels, np.uint8)

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        """Values that become 0 and 255, ``(2, 3)``, from a reduced view of the whole scene."""
        sample = self._decode(out_shape=(3, *_reduced_size(self._raster.shape, SAMPLE_SIDE)), masked=True)
        return np.array([self._percentiles(band, number) for band, number in zip(sample, self._bands, strict=True)]).T

    def _percentiles(self, band: Any, number: int) -> NDArray[np.float64]:
        """Return the percentiles of a band. If they are equal, leave this value out and compute them again."""
        assert self._stretch is not None
        values = band.compressed()
        values = values[np.isfinite(values)].astype(np.float64)
        for _ in range(2):  # the second time without a fill value that the file does not declare
            if values.size:
                limits: NDArray[np.float64] = np.percentile(values, self._stretch)
                if limits[0] < limits[1]:
                    return limits
                values = values[values != limits[0]]
        raise UserError(
            f"{self.path}: band {number} has too few different values to be stretched; say which value is no data "
            "(gdal_edit.py -a_nodata VALUE FILE), or give --stretch 0,100"
        )


SceneImage = ArrayImage | FileImage
"""An open scene."""


def _palette(raster: Any) -> NDArray[np.uint8] | None:
    """Return the colours ``(N, 3)`` that the values of the first band stand for; None where it has no palette."""
    from rasterio.enums import ColorInterp

    if raster.colorinterp[0] != ColorInterp.palette or raster.dtypes[0] not in ("uint8", "uint16"):
        return None
    colours = np.zeros((np.iinfo(raster.dtypes[0]).max + 1, 3), np.uint8)
    for value, colour in raster.colormap(1).items():
        colours[value] = colour[:3]
    return colours


def _stretched(bands: NDArray[Any], limits: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Scale bands ``(3, H, W)`` to pixels ``(H, W, 3)`` of 8 bits, some rows at a time to save memory.

    The limits ``(2, 3)`` become 0 and 255; values that are not finite become 0.
    """
    pixels = np.empty((*bands.shape[1:], 3), np.uint8)
    for band, low, high in zip(range(3), *limits, strict=True):
        for top in range(0, len(pixels), ROWS):
            rows = slice(top, top + ROWS)
            with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity
                scaled = (bands[band, rows] - low) / (high - low) * 255
            pixels[rows, :, band] = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=0.0), 0, 255)
    return pixels


def _open(path: Path) -> Any:
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning

    if not path.is_file():  # reading a named pipe would wait for ever
        raise UserError(f"{path}: {'not an image file' if path.exists() else 'no such image file'}")
    try:
        with path.open("rb") as file:
            start = file.read(4)
        driver = next((driver for magic, driver in DRIVERS.items() if start.startswith(magic)), None)
        if driver is None:
            raise ValueError("of no known format")
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
            raster = rasterio.open(path, driver=driver)
            with suppress(CPLE_BaseError):  # damaged EXIF fails at the first use of metadata; the pixels are sound
                raster.tags()
            with suppress(CPLE_BaseError):
                raster.colorinterp  # noqa: B018
    except Exception as error:  # GDAL's errors have no public base
        before, missing, codec = str(error).partition("missing codec ")
        if missing:
            raise UserError(
                f"{path}: its compression is not read here ({codec.rstrip('.')}); rewrite it with a program that "
                "reads it, as: gdal_translate -co COMPRESS=DEFLATE IN.tif OUT.tif"
            ) from error
        reason = before.removeprefix(f"{path}: ").removeprefix(f"{path.name}: ")
        raise UserError(f"{path}: not an image that can be opened ({reason}); replace or remove it") from error
    if raster.width * raster.height > MOST_PIXELS:
        size = f"{raster.width} x {raster.height} pixels, more than {MOST_PIXELS:,}"
        raise UserError(f"{path}: its header claims {size}; the file is damaged, replace it")
    return raster


def _header(path: Path, raster: Any) -> ImageHeader:
    georeference = georeference_of(raster) if raster.driver == WINDOWED else None
    orientation = 1 if georeference else _orientation(path, raster)  # a place refers to the pixels as stored
    height, width = raster.shape[::-1] if orientation in TRANSPOSED else raster.shape
    return ImageHeader(width, height, raster.count, orientation, georeference)


def _orientation(path: Path, raster: Any) -> int:
    from PIL import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    Image.MAX_IMAGE_PIXELS = None  # Pillow takes a large scene for an attack
    try:
        if raster.driver == WINDOWED:  # Pillow does not open every TIFF, but finds its tags
            with path.open("rb") as file:
                start = file.read(8)
                tags = ImageFileDirectory_v2(start + file.read(8) if b"+" in start[:4] else start)  # BigTIFF
                file.seek(tags.next)
                tags.load(file)
                orientation = tags.get(ORIENTATION, 1)
        else:
            with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
                orientation = Image.Image.getexif(image).get(ORIENTATION, 1)  # PNG's own would decode the pixels
    except Exception:  # Pillow raises many kinds at damaged tags; GDAL has opened the image
        return 1
    return orientation if orientation in range(1, 9) else 1


def _reduced_size(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    height, width = shape[:2]
    scale = max(1.0, max(height, width) / longest)
    return max(1, round(height / scale)), max(1, round(width / scale))


def _shrunk(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = _reduced_size(pixels.shape, longest)
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def open_scene(scene: Path | NDArray[np.uint8], reading: Reading = DEFAULT_READING) -> SceneImage:
    """Open an image file, or an array ``(H, W, 3)`` RGB or ``(H, W)`` grey of uint8; see :class:`FileImage`."""
    if isinstance(scene, np.ndarray):
        grey = scene.ndim == 2
        if scene.dtype != np.uint8 or not (grey or (scene.ndim == 3 and scene.shape[2] == 3)) or not scene.size:
            raise UserError(f"an array of shape {scene.shape} and {scene.dtype}: a scene is (H, W, 3) RGB uint8")
        return ArrayImage(np.repeat(scene[..., None], 3, axis=2) if grey else scene)
    return FileImage(scene, reading)


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image; raise UserError if it is not an image, or its compression is not read."""
    with _open(path) as raster:
        return _header(path, raster)


def read_georeference(path: Path) -> Georeference | None:
    """Read the place of a TIFF; None for other images, and for a TIFF that does not state it."""
    return read_header(path).georeference if path.suffix.lower() in TIFF_SUFFIXES else None


def read_pixels(path: Path, reading: Reading = DEFAULT_READING) -> NDArray[np.uint8]:
    """Read a whole scene as ``(H, W, 3)`` RGB; see :class:`FileImage` and :meth:`FileImage.read`.

    JPEG has no checksum: damage that leaves a valid stream of the right length is not seen.
    """
    return FileImage(path, reading).pixels()
