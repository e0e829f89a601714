"""Magnification of scenes to the ground resolution that a detector was trained at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.georeference import Resolution, resolution_of
from oil_storage.imagery import SceneImage
from oil_storage.tiling import tile_grid

LIMITS = (1 / 32, 10.0)
"""Minimum and maximum magnification. Other values suggest a wrong unit in the georeference."""
TOLERANCE = 0.15
"""A scene is not resampled if its resolution differs from the wanted one by at most this fraction.

In training, augmentation varies the resolution by more than this fraction.
"""

Origin = Literal["scene", "stated", "estimated", "unknown"]


@dataclass(frozen=True)
class Magnification:
    """Magnification of a scene.

    Attributes:
        zoom: pixels of the magnified scene per pixel of the scene, along x and along y.
        resolution: metres per pixel of the scene, along x and along y; None if they are not known.
        origin: source of ``resolution``: the georeference of the scene, a statement of the user, an estimate, or none.
        evidence: evidence in the scene for an estimated resolution, roughly the number of confident detections; None
            if no estimate was attempted.
        is_searched: whether tanks are detected in the scene; False without evidence for any resolution.
        warning: reason why the detections may be wrong; None if there is none.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    resolution: Resolution | None = None
    origin: Origin = "unknown"
    evidence: float | None = None
    is_searched: bool = True
    warning: str | None = None

    @property
    def gsd(self) -> float | None:
        """Mean of :attr:`resolution`."""
        return None if self.resolution is None else float(np.mean(self.resolution))

    @property
    def corners(self) -> NDArray[np.float64]:
        """Factors ``(4,)`` that magnify a box or window, xyxy."""
        return np.array([*self.zoom, *self.zoom])

    def windows(self, width: int, height: int, tile: int, overlap: int) -> NDArray[np.int64]:
        """Return the tiles of a scene, ``(T, 4)`` xyxy in pixels of the scene.

        Args:
            width: width of the scene, pixels.
            height: height of the scene, pixels.
            tile: maximum side of a tile in pixels, after magnification.
            overlap: overlap of neighbouring tiles in pixels, after magnification.
        """
        sides = tuple(max(1, round(tile / zoom)) for zoom in self.zoom)
        # detectors refuse larger tiles
        sides = tuple(max(1, side - (round(side * zoom) > tile)) for side, zoom in zip(sides, self.zoom, strict=True))
        overlaps = tuple(min(round(overlap / zoom), side - 1) for zoom, side in zip(self.zoom, sides, strict=True))
        return tile_grid(width, height, (sides[0], sides[1]), (overlaps[0], overlaps[1]))

    def size(self, window: NDArray[np.int64]) -> tuple[int, int]:
        """Return the width and height of a window ``(4,)``, xyxy in pixels of the scene, after magnification."""
        width, height = (window[2:] - window[:2]).tolist()
        return max(1, round(width * self.zoom[0])), max(1, round(height * self.zoom[1]))

    def shrunk(self, window: NDArray[np.int64]) -> tuple[int, int]:
        """Return the width and height of a window after its downsampling; sides that become longer do not change."""
        width, height = (window[2:] - window[:2]).tolist()
        size = self.size(window)
        return min(width, size[0]), min(height, size[1])

    def tile(self, image: SceneImage, window: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read a window of a scene and magnify it.

        A side that becomes shorter is resampled by averaging, to avoid aliasing.

        Args:
            image: opened scene.
            window: ``(4,)`` xyxy in pixels of the scene.

        Returns:
            NDArray: RGB ``(H, W, 3)``.
        """
        size, shrunk = self.size(window), self.shrunk(window)
        pixels = image.read(window, shrunk)
        if shrunk != pixels.shape[1::-1]:
            pixels = np.asarray(cv2.resize(pixels, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
        if size != shrunk:
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return pixels


def magnification_of(
    image: SceneImage, wanted: float | None, stated: float | None = None, scale: float | None = None
) -> Magnification:
    """Choose the magnification of a scene.

    Args:
        image: opened scene.
        wanted: ground resolution that the detector needs, metres per pixel; None magnifies by 1.
        stated: ground resolution of scenes that are not georeferenced; None if it is not known.
        scale: factor by which to magnify, whatever the resolution of the scene is; None computes it from the other
            arguments.

    Raises:
        UserError: the magnification is outside :data:`LIMITS`.
    """
    resolution = resolution_of(image.georeference, image.width, image.height)
    origin: Origin = "scene"
    if resolution is None:
        resolution, origin = ((stated, stated), "stated") if stated else (None, "unknown")
    zoom = (1.0, 1.0)
    if scale is not None:
        zoom = (scale, scale)
    elif resolution is not None and wanted is not None:
        zoom = zoom_of(resolution, wanted)
        if not all(LIMITS[0] <= factor <= LIMITS[1] for factor in zoom):
            raise UserError(
                f"{image.file_name}: {resolution[0]:g} m per pixel ({origin}) needs a magnification of {zoom[0]:.3g}, "
                f"and 1/{1 / LIMITS[0]:g} to {LIMITS[1]:g} is possible;\ncheck the georeference, or set --scale"
            )
    return Magnification(zoom, resolution, origin)


def accuracy_warning(gsd: float, f1_by_gsd: Mapping[str, float]) -> str | None:
    """Return a warning if a ground resolution is outside the range in which accuracy was measured; otherwise None.

    Args:
        gsd: ground resolution of a scene, metres per pixel.
        f1_by_gsd: measured F1 by ground resolution, see :class:`oil_storage.checkpoints.checkpoint.Meta`.
    """
    measured = sorted(f1_by_gsd, key=float)
    if not measured or float(measured[0]) / (1 + TOLERANCE) <= gsd <= float(measured[-1]) * (1 + TOLERANCE):
        return None
    nearest = measured[0] if gsd < float(measured[0]) else measured[-1]
    return (
        f"{gsd:.3g} m per pixel is outside the measured range of {measured[0]} to {measured[-1]} m; "
        f"F1 is {f1_by_gsd[nearest]:.2f} at {nearest} m, and may be lower here"
    )


def zoom_of(resolution: Resolution, wanted: float) -> tuple[float, float]:
    """Return the factors, along x and y, that magnify a scene to the wanted ground resolution.

    Both factors are 1 if ``resolution`` is within :data:`TOLERANCE` of ``wanted``.
    """
    zoom = resolution[0] / wanted, resolution[1] / wanted
    return zoom if max(abs(factor - 1) for factor in zoom) > TOLERANCE else (1.0, 1.0)
