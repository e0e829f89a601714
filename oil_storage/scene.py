"""Scene: a satellite image and its labelled tanks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oil_storage.georeference import Georeference, Resolution, resolution_of
from oil_storage.imagery import DEFAULT_READING, Reading

CLASS_NAME = "oil-storage-tank"
"""Name of the only class. The class map converts class names of a source to it."""


@dataclass(frozen=True)
class Scene:
    """Image with boxes that passed the audit.

    Only :mod:`oil_storage.audit.records` creates scenes from files.

    Attributes:
        scene_id: file name of the image without suffix; unique in a data set.
        image: path of the image file.
        width: width of the image, in pixels, after EXIF rotation.
        height: height of the image, in pixels, after EXIF rotation.
        boxes: ``(N, 4)`` float32, xyxy, in pixels; all boxes lie inside the image and have a positive area.
        georeference: location on the ground; None if the image is not georeferenced.
        reading: band selection and stretch.
        stated_gsd: ground resolution in metres per pixel according to the annotations; None if they state none.
        scores: ``(N,)`` scores of the boxes if they are detections; None if they are labels.
    """

    scene_id: str
    image: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    georeference: Georeference | None = None
    reading: Reading = DEFAULT_READING
    stated_gsd: float | None = None
    scores: NDArray[np.float32] | None = None

    @property
    def resolution(self) -> Resolution | None:
        """Ground resolution in metres per pixel, along x and along y, of the georeference, or else as stated.

        None if neither is known.
        """
        stated = (self.stated_gsd, self.stated_gsd) if self.stated_gsd else None
        return resolution_of(self.georeference, self.width, self.height) or stated

    @property
    def gsd(self) -> float | None:
        """Mean of :attr:`resolution`, rounded to four decimals."""
        return round(sum(self.resolution) / 2, 4) if self.resolution else None
