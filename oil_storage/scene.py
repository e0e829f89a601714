"""A scene: one whole satellite image and the tanks in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.georeference import Georeference, Resolution, resolution_of
from oil_storage.imagery import DEFAULT_READING, Reading

CLASS_NAME = "oil-storage-tank"
"""The one class; a source's own names are mapped to it."""


@dataclass(frozen=True)
class Scene:
    """One whole image with its boxes, judged fit for use.

    Only :mod:`oil_storage.audit.records` makes a scene from files.

    Attributes:
        scene_id: the image's file name without its suffix; unique in a data set.
        image: path of the image file.
        width: width of the upright image, pixels.
        height: height of the upright image, pixels.
        boxes: ``(N, 4)`` float32, xyxy, pixels of the scene, every box inside the image and of positive area.
        georeference: where the image lies on the ground; None where its file does not say.
        reading: how the bands of the file become colours.
    """

    scene_id: str
    image: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    georeference: Georeference | None = None
    reading: Reading = DEFAULT_READING

    @property
    def resolution(self) -> Resolution | None:
        """Metres of ground per pixel, along a row and along a column; None where the file does not say."""
        return resolution_of(self.georeference, self.width, self.height)

    @property
    def gsd(self) -> float | None:
        """Mean of :attr:`resolution`, to four digits."""
        return round(sum(self.resolution) / 2, 4) if self.resolution else None
