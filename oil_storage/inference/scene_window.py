"""Window of a scene, which is searched as if it were the whole scene."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from oil_storage.imagery import FileImage


class SceneWindow:
    """Window of a scene, with the interface of :class:`oil_storage.imagery.SceneImage`.

    Attributes:
        whole: the whole scene.
        window: ``(4,)`` xyxy, in pixels of the scene.
        width, height, georeference: those of the window.
    """

    def __init__(self, whole: FileImage, window: NDArray[np.int64]) -> None:
        self.whole, self.window = whole, window
        self._corner = np.tile(window[:2], 2)
        self.width, self.height = (window[2:] - window[:2]).tolist()
        self.file_name, self.notes = whole.file_name, whole.notes
        self.georeference = whole.georeference
        if self.georeference is not None:
            a, b, _, d, e, _ = self.georeference.transform
            ((c, f),) = self.georeference.to_world(window[None, :2].astype(np.float64)).tolist()
            self.georeference = replace(self.georeference, transform=(a, b, c, d, e, f))
        if not whole.has_overviews:  # percentiles of the whole scene would need all of its pixels
            whole.sampled = window
            if "stretched" in self.notes:
                self.notes["stretched"] += ", computed in the searched part"

    def read(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return a part of the window; see :meth:`FileImage.read`."""
        return self.whole.read(window + self._corner, least)

    def shows(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> bool:
        """Return whether any pixel of a part of the window has data."""
        return self.whole.shows(window + self._corner, least)

    def reduced(self, longest: int) -> NDArray[np.uint8]:
        """Return the window downsampled to at most ``longest`` pixels per side."""
        return self.whole.reduced(longest, self.window)
