"""Read scenes tile by tile in a background thread."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.imagery import Reading, SceneImage
from oil_storage.inference.bounding_box import BoundingBox
from oil_storage.inference.magnification import Magnification
from oil_storage.inference.scene_sources import Source, open_source
from oil_storage.inference.tile_detector import Prepared

AHEAD = 4
"""Number of batches that are read in advance."""


def failure(source: Source, error: UserError | OSError | MemoryError) -> UserError:
    """Describe why a scene is left out."""
    if isinstance(error, MemoryError):
        name = "array" if isinstance(source, np.ndarray) else source
        return UserError(f"{name}: does not fit in the free memory; free some, split the scene, or lower --batch-size")
    return UserError(str(error))


class Batch(NamedTuple):
    """Tiles of one scene: their windows ``(4,)``, xyxy in pixels of the magnified scene, and their content."""

    windows: list[NDArray[np.float64]]
    tiles: list[Prepared]


class EndOfScene(NamedTuple):
    """Marker after the batches of a scene.

    ``result`` is the opened scene and its magnification, or the error if the scene cannot be read.
    """

    source: Source
    result: tuple[SceneImage, Magnification] | UserError


@dataclass(frozen=True)
class TileReader:
    """Reader that cuts scenes into tiles and prepares them for the network.

    Attributes:
        prepare: function that converts a tile, RGB ``(H, W, 3)``, for the network.
        tile: side of a tile in pixels, after magnification.
        overlap: overlap of neighbouring tiles in pixels, after magnification.
        magnify: function that chooses the magnification of a scene.
        batch_size: number of tiles in a batch.
        reading: bands and stretch of the scenes.
        bbox: bounding box in which scenes are read; None reads whole scenes.
    """

    prepare: Callable[[NDArray[np.uint8]], Prepared]
    tile: int
    overlap: int
    magnify: Callable[[Source, SceneImage], Magnification]
    batch_size: int
    reading: Reading
    bbox: BoundingBox | None = None

    def open(self, source: Source) -> SceneImage:
        """Open a scene, or the part of it in the bounding box; see :func:`open_source`."""
        return open_source(source, self.reading, self.bbox)

    def read(self, scenes: Iterable[Source]) -> Iterator[Batch | EndOfScene]:
        """Yield the batches of each scene and then its :class:`EndOfScene`. Skip tiles without data.

        A thread reads :data:`AHEAD` batches in advance.
        """
        batches = self._batches(scenes)
        reader = ThreadPoolExecutor(1)
        pending = deque(reader.submit(next, batches, None) for _ in range(AHEAD))
        try:
            while (batch := pending.popleft().result()) is not None:
                pending.append(reader.submit(next, batches, None))
                yield batch
        finally:
            reader.shutdown(cancel_futures=True)

    def _batches(self, scenes: Iterable[Source]) -> Iterator[Batch | EndOfScene]:
        for source in scenes:
            try:
                image = self.open(source)
                magnification = self.magnify(source, image)
                if magnification.is_searched:
                    yield from self.batches(image, magnification)
            except (UserError, OSError, MemoryError) as error:
                yield EndOfScene(source, failure(source, error))
            else:
                yield EndOfScene(source, (image, magnification))

    def batches(self, image: SceneImage, magnification: Magnification) -> Iterator[Batch]:
        """Yield the batches of a scene. Skip tiles without data."""
        windows = magnification.windows(image.width, image.height, self.tile, self.overlap)
        with_data = (window for window in windows if image.shows(window, magnification.shrunk(window)))
        while batch := list(islice(with_data, self.batch_size)):
            tiles = [self.prepare(magnification.tile(image, window)) for window in batch]
            yield Batch([window * magnification.corners for window in batch], tiles)
