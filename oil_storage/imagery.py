"""Read the pixels, size and georeference of scenes.

GDAL opens every file. libjpeg-turbo decodes greyscale and RGB JPEGs, because it reports damage that GDAL ignores.
"""

import os
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.georeference import Georeference, georeference_of

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jp2", ".j2k", ".img", ".ntf", ".nitf", ".vrt"),
)
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
STRETCH = (2.0, 98.0)
"""Default percentiles that map to 0 and 255 in bands with more than 8 bits."""
MOST_PIXELS, LONGEST_SIDE = 2**36, 2**20
"""Maximum number of pixels, about 262,000 per side, and maximum side. A header that states more is damaged."""
DENSEST, SMALL = 4096, 2**28
"""Maximum number of pixels per byte of a file with more than :data:`SMALL` pixels. Deflate of one colour has 344."""
DECODED = 4
"""Bytes of memory that decoding and conversion need for each byte of an image that is decoded as a whole."""
SAMPLE_SIDE = 1024
"""Longest side, in pixels, of the downsampled scene from which the percentiles of a stretch are computed."""
ROWS = 256
"""Number of pixel rows that are stretched at a time."""
ORIENTATION = 0x0112
"""Number of the orientation tag in EXIF and TIFF. The value of the tag gives the rotation of the stored pixels."""
TRANSPOSED, FLIPPED_X, FLIPPED_Y = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
"""Values of the orientation tag for which the stored pixels must be transposed, then flipped along x, then along y."""

# GDAL reads these variables when it decodes its first block. Values that the user has set take precedence.
os.environ.setdefault("GDAL_CACHEMAX", "256")  # in MiB; enough for two rows of tiles of a scene of 60,000 px
os.environ.setdefault("GDAL_PNG_WHOLE_IMAGE_OPTIM", "NO")  # the optimised reader accepts truncated files


@dataclass(frozen=True)
class Reading:
    """Band selection and contrast stretch that convert a scene to 8-bit RGB.

    Attributes:
        bands: numbers of the red, green and blue bands, starting at 1; None uses the bands that the file declares as
            red, green and blue.
        stretch: percentiles of each band that map to 0 and 255; None stretches only bands with more than 8 bits, by
            :data:`STRETCH`.
    """

    bands: tuple[int, int, int] | None = None
    stretch: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if a band number is below 1, or if the percentiles do not increase within [0, 100]."""
        if self.bands and min(self.bands) < 1:
            raise ValueError("bands must be three numbers, 1 or larger, such as 3,2,1")
        if self.stretch and not 0 <= self.stretch[0] < self.stretch[1] <= 100:
            raise ValueError("stretch must be two percentiles, such as 2,98")


DEFAULT_READING = Reading()
"""Reading that uses the bands that the file declares, and stretches only bands with more than 8 bits."""


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


class SceneImage(Protocol):
    """Scene that is open for reading.

    Attributes:
        file_name: file name without folders.
        width, height, georeference: see :class:`ImageHeader`.
        notes: see :class:`FileImage`.
    """

    file_name: str
    width: int
    height: int
    georeference: Georeference | None
    notes: dict[str, str]

    def read(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return a window, ``(4,)`` xyxy in pixels of the scene, as RGB ``(H, W, 3)``.

        Args:
            window: window of the scene.
            least: width and height to which the caller will downsample the window. Where pixels are costly to read, the
                result has this size already; otherwise it has the size of the window.
        """

    def shows(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> bool:
        """Return whether any pixel of a window has data; for ``least``, see :meth:`read`."""

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """Return the scene downsampled to at most ``longest`` pixels per side."""


class ArrayImage:
    """Scene in memory, ``(H, W, 3)`` uint8 RGB, with the interface of :class:`SceneImage`."""

    file_name = "array"
    georeference: Georeference | None = None

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]
        self.notes: dict[str, str] = {}

    def read(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return a window, xyxy in pixels of the scene, as ``(H, W, 3)`` RGB."""
        x1, y1, x2, y2 = window.tolist()
        return self.pixels[y1:y2, x1:x2]

    def shows(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> bool:
        """Return True, because every pixel of an array has data."""
        return True

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """Return the scene downsampled to at most ``longest`` pixels per side."""
        return _shrunk(self.pixels, longest)


class FileImage:
    """Scene in a file.

    Attributes:
        file_name: file name without folders.
        width, height, georeference: see :class:`ImageHeader`.
        notes: conversions of the stored pixels, described in words. The keys are the names of the audit checks that
            report the conversions.
        sampled: window from which the percentiles of the stretch are computed, xyxy; None uses the whole scene.

    Raises:
        UserError: the file is not an image, its compression is not supported, it contains several images, a band does
            not exist, the file does not declare its red, green and blue bands, the pixels are 1-bit or complex numbers,
            or a stretch is requested for a palette image.
    """

    def __init__(self, path: ImagePath, reading: Reading = DEFAULT_READING) -> None:
        self.file_name, self.path = path.name, path
        self.notes: dict[str, str] = {}
        self.sampled: NDArray[np.int64] | None = None
        self._raster = self._opened()
        self._structure = self._raster.tags(ns="IMAGE_STRUCTURE")
        header = _header(path, self._raster)
        self.width, self.height, self.georeference = header.width, header.height, header.georeference
        self._orientation = header.orientation
        palette = _palette(self._raster)
        self._bands = self._select_bands(reading.bands, palette is not None)
        self._palette = palette if set(self._bands) == {1} else None
        # 0 if the values use all bits of their type
        self._bits = int(self._raster.tags(self._bands[0], ns="IMAGE_STRUCTURE").get("NBITS", 0))
        self._check_supported()
        if reading.stretch and self._palette is not None:
            raise UserError(f"{path}: a palette image cannot be stretched; use --stretch none")
        is_deep = self._palette is None and {self._raster.dtypes[band - 1] for band in self._bands} != {"uint8"}
        self._stretch = reading.stretch or (STRETCH if is_deep else None)
        if self._stretch:
            self.notes["stretched"] = "percentiles {:g} and {:g} of each band map to 0 and 255".format(*self._stretch)
        if self._orientation != 1:
            self.notes["exif-rotated"] = f"EXIF orientation {self._orientation}: turned upright"
        if self._raster.gcps[0] and not self.georeference:
            self.notes["no-place"] = "no affine map fits the ground control points; warp it first (gdalwarp IN OUT.tif)"

    def _opened(self) -> Any:
        return _open(self.path)

    @property
    def has_overviews(self) -> bool:
        """Whether the file also contains the scene at lower resolutions."""
        return bool(self._raster.overviews(self._bands[0]))

    def _select_bands(self, bands: tuple[int, int, int] | None, has_palette: bool) -> list[int]:
        from rasterio.enums import ColorInterp

        count = self._raster.count
        if bands is not None:
            if absent := [band for band in bands if band > count]:
                raise UserError(f"{self.path}: no band {absent[0]}; use bands 1 to {count}")
            return list(bands)
        kinds = list(self._raster.colorinterp)
        colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        without_alpha = count - (ColorInterp.alpha in kinds)
        if set(colours) <= set(kinds):
            chosen = [kinds.index(colour) + 1 for colour in colours]
        elif without_alpha > 3:  # the first band of a four-band sensor is usually blue
            raise UserError(f"{self.path}: {count} bands; give red, green and blue with --bands, such as 3,2,1")
        else:
            chosen = [1, 1, 1] if without_alpha < 3 else [1, 2, 3]
        is_grey = chosen == [1, 1, 1]
        if (count, chosen) != (3, [1, 2, 3]) and not (is_grey and has_palette):
            colour = "the first is used as grey" if is_grey else f"{chosen} are used as red, green and blue"
            self.notes["bands"] = f"has {count} band{'s' if count > 1 else ''}; {colour}"
        return chosen

    def _check_supported(self) -> None:
        """Raise UserError if the file contains several images, or pixels of an unsupported type or orientation."""
        frames = self._raster.count if self._raster.driver == "GIF" else 1
        if (pages := max(len(self._raster.subdatasets), frames)) > 1:
            raise UserError(f"{self.path}: contains {pages} images; save the image of the scene as a separate file")
        if any(self._raster.dtypes[band - 1].startswith("complex") for band in self._bands):
            raise UserError(f"{self.path}: the pixels are complex numbers; save their amplitude as an image")
        if self._bits == 1:
            raise UserError(f"{self.path}: 1 bit per pixel, probably a mask; use the image of the scene")
        space = self._structure.get("SOURCE_COLOR_SPACE")
        if self._orientation != 1 and self._raster.driver == "GTiff" and space:  # libtiff would rotate each strip
            raise UserError(f"{self.path}: {space} TIFF that is stored rotated or mirrored; save it upright")

    def read(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return a window, ``(4,)`` xyxy in pixels of the scene, as ``(H, W, 3)`` RGB; see :meth:`SceneImage.read`.

        Raises:
            UserError: the file is damaged in this window, or a band has too few different values for the stretch.
        """
        if self._raster.driver not in WHOLE:
            return self._to_rgb(self._decode(**self._part(window, least)))
        x1, y1, x2, y2 = self._stored(window)
        return self._to_rgb(self._decoded[:, y1:y2, x1:x2])

    def _part(self, window: NDArray[np.int64], least: tuple[int, int] | None) -> dict[str, Any]:
        """Return the arguments with which rasterio reads a window; see :meth:`SceneImage.read`."""
        x1, y1, x2, y2 = self._stored(window)
        return {"window": ((y1, y2), (x1, x2))}

    def pixels(self) -> NDArray[np.uint8]:
        """Return the whole scene as ``(H, W, 3)`` RGB; see :meth:`read`."""
        return self.read(np.array([0, 0, self.width, self.height]))

    def reduced(self, longest: int, window: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Return the scene, or a window, downsampled to at most ``longest`` pixels per side.

        Raises:
            UserError: see :meth:`read`.
        """
        if self._raster.driver in WHOLE:
            return _shrunk(self.pixels() if window is None else self.read(window), longest)
        return self._to_rgb(self._decode(**self._sample(longest, window)))

    def _sample(self, longest: int, window: NDArray[np.int64] | None) -> dict[str, Any]:
        """Return the arguments with which rasterio reads the scene, or a window, at a lower resolution."""
        part = self._part(np.array([0, 0, self.width, self.height]) if window is None else window, None)
        (y1, y2), (x1, x2) = part["window"]
        return {**part, "out_shape": _reduced_size((y2 - y1, x2 - x1), longest)}

    def shows(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> bool:
        """Return whether any pixel of a window has data; see :meth:`SceneImage.shows`.

        Raises:
            UserError: the file is damaged in this window.
        """
        from rasterio.enums import MaskFlags

        if all(MaskFlags.all_valid in self._raster.mask_flag_enums[band - 1] for band in self._bands):
            return True
        x1, y1, x2, y2 = self._stored(window)
        try:
            if self._raster.driver not in WHOLE:
                return bool(self._raster.dataset_mask(**self._part(window, least)).any())
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
        """Convert a window of the upright scene to a window of the stored pixels, xyxy."""
        x1, y1, x2, y2 = window.tolist()
        if self._orientation in FLIPPED_X:
            x1, x2 = self.width - x2, self.width - x1
        if self._orientation in FLIPPED_Y:
            y1, y2 = self.height - y2, self.height - y1
        return (y1, x1, y2, x2) if self._orientation in TRANSPOSED else (x1, y1, x2, y2)

    def _stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Convert the width and height of upright pixels to those of the stored pixels."""
        return size[::-1] if self._orientation in TRANSPOSED else size

    def _decode(self, **arguments: Any) -> Any:
        """Return the stored values of the selected bands, ``(3, H, W)``, in the stored orientation."""
        import simplejpeg

        is_inked = self._structure.get("SOURCE_COLOR_SPACE") in ("CMYK", "YCCK")
        try:
            if self._raster.driver == "JPEG" and not is_inked and not arguments:
                decoded = simplejpeg.decode_jpeg(self.path.read_bytes(), "RGB", strict=True)
                return np.moveaxis(decoded, 2, 0)[[band - 1 for band in self._bands]]
            if size := arguments.pop("out_shape", None):
                arguments["out_shape"] = (len(self._bands), *size)
            return self._raster.read(self._bands, **arguments)
        except Exception as error:  # GDAL's errors have no public base class
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        if isinstance(error, MemoryError):
            return UserError(f"{self.path}: the pixels do not fit in memory; split the image, or replace it if damaged")
        reason = error.__cause__ or error  # rasterio raises the reason as the cause
        return UserError(f"{self.path}: cannot be decoded ({reason}); replace the damaged file")

    def _to_rgb(self, bands: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert stored values ``(3, H, W)`` to upright 8-bit RGB pixels ``(H, W, 3)``."""
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
        """Low and high values ``(2, 3)`` of the bands, which the stretch maps to 0 and 255."""
        sample = self._decode(**self._sample(SAMPLE_SIDE, self.sampled), masked=True)
        return np.array([self._percentiles(band, number) for band, number in zip(sample, self._bands, strict=True)]).T

    def _percentiles(self, band: Any, number: int) -> NDArray[np.float64]:
        """Return the two percentiles of a band, without fill values that the file does not declare as nodata.

        A percentile that is also the smallest or the largest value of the band is assumed to be a fill value.
        """
        assert self._stretch is not None
        values = band.compressed()
        values = values[np.isfinite(values)].astype(np.float64)
        if values.size:
            limits: NDArray[np.float64] = np.percentile(values, self._stretch)
            is_extreme = (limits == (values.min(), values.max())) & (np.array(self._stretch) != (0, 100))
            others = values[~np.isin(values, limits[is_extreme | (limits[0] == limits[1])])]
            for candidates in (others, values):
                low, high = np.percentile(candidates, self._stretch) if candidates.size else (0.0, 0.0)
                if low < high:
                    return np.array([low, high])
        raise UserError(
            f"{self.path}: band {number} has too few different values to be stretched; declare the nodata value "
            "(gdal_edit.py -a_nodata VALUE FILE), or use --stretch 0,100"
        )


def _palette(raster: Any) -> NDArray[np.uint8] | None:
    """Return the palette of the first band, ``(N, 3)`` RGB; None if the band has no palette."""
    from rasterio.enums import ColorInterp

    if raster.colorinterp[0] != ColorInterp.palette or raster.dtypes[0] not in ("uint8", "uint16"):
        return None
    colours = np.zeros((np.iinfo(raster.dtypes[0]).max + 1, 3), np.uint8)
    for value, colour in raster.colormap(1).items():
        colours[value] = colour[:3]
    return colours


def _stretched(bands: NDArray[Any], limits: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Scale bands ``(3, H, W)`` to 8-bit pixels ``(H, W, 3)``, :data:`ROWS` rows at a time to save memory.

    The two rows of ``limits`` ``(2, 3)`` map to 0 and 255. NaN and infinity map to 0.
    """
    pixels = np.empty((*bands.shape[1:], 3), np.uint8)
    for band, low, high in zip(range(3), *limits, strict=True):
        for top in range(0, len(pixels), ROWS):
            rows = slice(top, top + ROWS)
            with np.errstate(invalid="ignore", over="ignore"):  # infinity minus infinity
                scaled = (bands[band, rows] - low) / (high - low) * 255
            pixels[rows, :, band] = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=0.0), 0, 255)
    return pixels


def _open(path: ImagePath) -> Any:
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


def _header(path: ImagePath, raster: Any) -> ImageHeader:
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


def _reduced_size(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    height, width = shape[:2]
    scale = max(1.0, max(height, width) / longest)
    return max(1, round(height / scale)), max(1, round(width / scale))


def _shrunk(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = _reduced_size(pixels.shape, longest)
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def open_scene(scene: Path | NDArray[np.uint8], reading: Reading = DEFAULT_READING) -> ArrayImage | FileImage:
    """Open a scene: an image file (see :class:`FileImage`), or a uint8 array, RGB ``(H, W, 3)`` or grey ``(H, W)``."""
    if isinstance(scene, np.ndarray):
        grey = scene.ndim == 2
        if scene.dtype != np.uint8 or not (grey or (scene.ndim == 3 and scene.shape[2] == 3)) or not scene.size:
            raise UserError(f"array of shape {scene.shape} and type {scene.dtype}: must be uint8, (H, W, 3) or (H, W)")
        return ArrayImage(np.repeat(scene[..., None], 3, axis=2) if grey else scene)
    return FileImage(scene, reading)


def read_header(path: ImagePath) -> ImageHeader:
    """Read the header of an image; raise UserError if the file cannot be opened as an image."""
    with _open(path) as raster:
        return _header(path, raster)


def read_georeference(path: Path) -> Georeference | None:
    """Read the georeference of an image; return None if it has none."""
    return read_header(path).georeference


def vrt_sources(path: Path) -> list[Path]:
    """Return the existing files that a VRT lists; empty for other images.

    Raises:
        UserError: the file cannot be opened as an image.
    """
    with _open(path) as raster:
        files = [Path(file) for file in raster.files] if raster.driver == "VRT" else []
    return [file for file in files if file.is_file() and file != path]


def read_pixels(path: Path, reading: Reading = DEFAULT_READING) -> NDArray[np.uint8]:
    """Read a whole scene as ``(H, W, 3)`` RGB; raise the errors of :class:`FileImage` and :meth:`FileImage.read`.

    Damage in a JPEG file is not always detected, because JPEG has no checksum.
    """
    return FileImage(path, reading).pixels()
