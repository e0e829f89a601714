"""The pixels of a scene, window by window, as detectors were trained to see them: red, green and blue of 8 bits."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.georeference import TIFF_SUFFIXES, Georeference, read_georeference
from oil_storage.imagery import SUFFIXES, read_header, read_pixels

STRETCH = (2.0, 98.0)
"""Percentiles that become 0 and 255 where a band has more than 8 bits and nothing else is asked for."""
LOOKED_AT = 1024
"""Pixels a side of the reduced scene that percentiles are taken from."""
RASTER_CACHE = 256
"""MiB of decoded blocks that GDAL keeps: two rows of tiles of a scene 60,000 px wide. Its own limit, a twentieth of the
machine's memory, fills up with blocks that no tile needs again."""

# GDAL reads this when it reads its first block; whoever has set it keeps it
os.environ.setdefault("GDAL_CACHEMAX", str(RASTER_CACHE))


class SceneImage(Protocol):
    """A scene that is open.

    Attributes:
        file_name: of the scene, without folders.
        width: pixels.
        height: pixels.
        georeference: where it lies; None where it does not say.
    """

    file_name: str
    width: int
    height: int
    georeference: Georeference | None

    def read(self, window: NDArray[np.int64]) -> NDArray[np.uint8]:
        """``(H, W, 3)`` RGB of a window, ``(4,)`` xyxy within the scene."""
        ...

    def shows(self, window: NDArray[np.int64]) -> bool:
        """Whether any pixel of a window has data."""
        ...

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """``(H, W, 3)`` RGB of the whole scene, its longer side ``longest`` pixels at most."""
        ...


class DecodedImage:
    """A scene whose pixels are in memory.

    Args:
        file_name: of the scene, without folders.
        pixels: ``(H, W, 3)`` uint8 RGB.
    """

    georeference: Georeference | None = None

    def __init__(self, file_name: str, pixels: NDArray[np.uint8]) -> None:
        self.file_name, self.pixels = file_name, pixels
        self.height, self.width = pixels.shape[:2]

    def read(self, window: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See :class:`SceneImage`."""
        x1, y1, x2, y2 = window.tolist()
        return self.pixels[y1:y2, x1:x2]

    def shows(self, window: NDArray[np.int64]) -> bool:
        """See :class:`SceneImage`."""
        return True

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """See :class:`SceneImage`."""
        height, width = _reduced_size(self.height, self.width, longest)
        if (height, width) == (self.height, self.width):
            return self.pixels
        smaller = cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(smaller, np.uint8)


class RasterImage:
    """A scene that GDAL reads window by window.

    Args:
        path: of the file.
        bands: which are red, green and blue, from 1; None takes the first three, or one for all.
        stretch: percentiles of each band that become 0 and 255; None leaves 8 bits as they are, and stretches others
            by :data:`STRETCH`.

    Raises:
        UserError: not a raster, several pages, no such bands, bands that need to be named, or colours of a palette,
            which no stretch changes.
    """

    def __init__(self, path: Path, bands: Sequence[int] | None, stretch: tuple[float, float] | None) -> None:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

        self.file_name, self.path = path.name, path
        self.georeference = read_georeference(path)
        try:
            with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
                self.raster = rasterio.open(path)
        except RasterioError as error:
            raise UserError(f"{path}: not an image that can be opened ({error}); replace or remove it") from error
        if len(self.raster.subdatasets) > 1:
            pages = len(self.raster.subdatasets)
            raise UserError(f"{path}: {pages} pages; save the one that is the scene as a file of its own")
        self.width, self.height = self.raster.width, self.raster.height
        self.bands = self._chosen(bands)
        kinds = {self.raster.dtypes[band - 1] for band in self.bands}
        if any(kind.startswith("complex") for kind in kinds):
            raise UserError(f"{path}: complex numbers, which are no brightness; save their amplitude")
        if stretch is None and kinds != {"uint8"}:
            stretch = STRETCH
        self.palette = self._palette() if bands is None else None
        if stretch is not None and self.palette is not None:
            raise UserError(f"{path}: has the colours of a palette, which --stretch does not change; leave it out")
        self.limits = None if stretch is None else self._limits(stretch)
        self.is_negative = self.raster.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"

    def _chosen(self, bands: Sequence[int] | None) -> list[int]:
        from rasterio.enums import ColorInterp

        there = self.raster.count
        if bands is not None:
            if absent := [band for band in bands if not 1 <= band <= there]:
                raise UserError(f"{self.path}: has no band {absent[0]}; there are 1 to {there}, name three of them")
            return list(bands)
        kinds = list(self.raster.colorinterp)
        colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        if all(colour in kinds for colour in colours):
            return [kinds.index(colour) + 1 for colour in colours]
        of_light = there - (ColorInterp.alpha in kinds)
        if of_light in (1, 2):
            return [1, 1, 1]
        if of_light > 3:  # sensors of four bands begin with blue as a rule
            raise UserError(f"{self.path}: {there} bands; say which are red, green and blue with --bands, as 3,2,1")
        return [1, 2, 3]

    def _palette(self) -> NDArray[np.uint8] | None:
        """Colours ``(256, 3)`` that the values of the only band stand for; None where values are brightness."""
        from rasterio.enums import ColorInterp

        if self.raster.colorinterp[0] != ColorInterp.palette or self.raster.dtypes[0] != "uint8":
            return None
        colours = np.zeros((256, 3), np.uint8)
        for value, colour in self.raster.colormap(1).items():
            colours[value] = colour[:3]
        return colours

    def _limits(self, stretch: tuple[float, float]) -> NDArray[np.float64]:
        """What becomes 0 and 255, ``(2, 3)``, from a reduced view of the whole scene."""
        seen = self._bands(out_shape=(3, *_reduced_size(self.height, self.width, LOOKED_AT)), masked=True)
        ends = []
        for band in seen:
            values = band.compressed()
            values = values[np.isfinite(values)]
            ends.append(np.percentile(values, stretch) if len(values) else (0.0, 1.0))
        return np.array(ends).T

    def _bands(self, **arguments: Any) -> Any:
        from rasterio.errors import RasterioError

        try:
            return self.raster.read(self.bands, **arguments)
        except RasterioError as error:
            raise UserError(f"{self.path}: cannot be decoded ({error}); the file is damaged, replace it") from error

    def read(self, window: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See :class:`SceneImage`.

        Raises:
            UserError: the file is damaged there.
        """
        return self._eight_bits(self._bands(window=self._window(window)))

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """See :class:`SceneImage`.

        Raises:
            UserError: the file is damaged.
        """
        return self._eight_bits(self._bands(out_shape=(3, *_reduced_size(self.height, self.width, longest))))

    def _eight_bits(self, bands: NDArray[Any]) -> NDArray[np.uint8]:
        if self.palette is not None:
            coloured: NDArray[np.uint8] = self.palette[bands[0]]
            return coloured
        pixels = np.moveaxis(bands, 0, 2)
        if self.limits is not None:
            low, high = self.limits
            scaled = (pixels - low) / np.maximum(high - low, 1e-12) * 255
            pixels = np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255).astype(np.uint8)
        eight_bits: NDArray[np.uint8] = np.ascontiguousarray(255 - pixels if self.is_negative else pixels)
        return eight_bits

    def shows(self, window: NDArray[np.int64]) -> bool:
        """See :class:`SceneImage`."""
        from rasterio.enums import MaskFlags

        if all(MaskFlags.all_valid in self.raster.mask_flag_enums[band - 1] for band in self.bands):
            return True
        return bool(self.raster.dataset_mask(window=self._window(window)).any())

    @staticmethod
    def _window(window: NDArray[np.int64]) -> Any:
        from rasterio.windows import Window

        x1, y1, x2, y2 = window.tolist()
        return Window(x1, y1, x2 - x1, y2 - y1)


def _reduced_size(height: int, width: int, longest: int) -> tuple[int, int]:
    scale = max(1.0, max(height, width) / longest)
    return max(1, round(height / scale)), max(1, round(width / scale))


def open_scene(
    scene: Path | NDArray[np.uint8],
    bands: Sequence[int] | None = None,
    stretch: tuple[float, float] | None = None,
) -> SceneImage:
    """Open a scene: JPEG and PNG of 8 bits are decoded at once, and all else is read by window.

    Args:
        scene: an image file; or ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8.
        bands: see :class:`RasterImage`.
        stretch: see :class:`RasterImage`.

    Raises:
        UserError: not an image, a damaged one, or one that needs bands to be named.
    """
    if isinstance(scene, np.ndarray):
        grey = scene.ndim == 2
        if scene.dtype != np.uint8 or not (grey or (scene.ndim == 3 and scene.shape[2] == 3)) or not scene.size:
            raise UserError(f"an array of shape {scene.shape} and {scene.dtype}: a scene is (H, W, 3) RGB uint8")
        return DecodedImage("array", np.repeat(scene[..., None], 3, axis=2) if grey else scene)
    if not scene.is_file():
        raise UserError(f"{scene}: no such image file")
    if scene.suffix.lower() not in SUFFIXES:
        raise UserError(f"{scene}: not an image; scenes end in {', '.join(SUFFIXES)}")
    if scene.suffix.lower() in TIFF_SUFFIXES or bands or stretch or read_header(scene).unfit:
        return RasterImage(scene, bands, stretch)
    return DecodedImage(scene.name, read_pixels(scene))
