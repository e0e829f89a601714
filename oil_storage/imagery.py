"""Read the pixels of scenes.

GDAL opens every file. libjpeg-turbo decodes greyscale and RGB JPEGs, because it reports damage that GDAL ignores.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.georeference import Georeference
from oil_storage.image_file import FLIPPED_X, FLIPPED_Y, TRANSPOSED, WHOLE, ImagePath, header_of, open_raster

STRETCH = (2.0, 98.0)
"""Default percentiles that map to 0 and 255 in bands with more than 8 bits."""
SAMPLE_SIDE = 1024
"""Longest side, in pixels, of the downsampled scene from which the percentiles of a stretch are computed."""
ROWS = 256
"""Number of pixel rows that are stretched at a time."""


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


class SceneImage(Protocol):
    """Scene that is open for reading.

    Attributes:
        file_name: file name without folders.
        width, height, georeference: see :class:`~oil_storage.image_file.ImageHeader`.
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
        width, height, georeference: see :class:`~oil_storage.image_file.ImageHeader`.
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
        header = header_of(path, self._raster)
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
        return open_raster(self.path)

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


def read_pixels(path: Path, reading: Reading = DEFAULT_READING) -> NDArray[np.uint8]:
    """Read a whole scene as ``(H, W, 3)`` RGB; raise the errors of :class:`FileImage` and :meth:`FileImage.read`.

    Damage in a JPEG file is not always detected, because JPEG has no checksum.
    """
    return FileImage(path, reading).pixels()
