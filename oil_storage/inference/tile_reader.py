"""Read scenes tile by tile in a background thread."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.imagery import Reading, SceneImage
from oil_storage.inference.bounding_box import BoundingBox
from oil_storage.inference.magnification import Magnification
from oil_storage.inference.scene_sources import Source, open_source

AHEAD = 4
"""Number of batches that are read in advance."""


class Batch(NamedTuple):
    """Tiles of one scene: their windows ``(4,)``, xyxy in pixels of the magnified scene, and their pipeline outputs."""

    windows: list[NDArray[np.float64]]
    inputs: list[dict[str, Any]]


class EndOfScene(NamedTuple):
    """Marker after the batches of a scene.

    ``result`` is the opened scene and its magnification, or the error if the scene cannot be read.
    """

    source: Source
    result: tuple[SceneImage, Magnification] | UserError


@dataclass(frozen=True)
class TileReader:
    """Reader that cuts scenes into tiles and applies the test pipeline.

    Attributes:
        pipeline: test pipeline of a config; its first step loads an image file.
        tile: side of a tile in pixels, after magnification.
        overlap: overlap of neighbouring tiles in pixels, after magnification.
        magnify: function that chooses the magnification of a scene.
        batch_size: number of tiles in a batch.
        reading: bands and stretch of the scenes.
        bbox: bounding box in which scenes are read; None reads whole scenes.
    """

    pipeline: Sequence[dict[str, Any]]
    tile: int
    overlap: int
    magnify: Callable[[Source, SceneImage], Magnification]
    batch_size: int
    reading: Reading
    bbox: BoundingBox | None = None

    @cached_property
    def transform(self) -> Compose:
        """Test pipeline whose input is a BGR array."""
        return for_arrays(self.pipeline)

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
            except (UserError, OSError) as error:
                yield EndOfScene(source, UserError(str(error)))
            else:
                yield EndOfScene(source, (image, magnification))

    def batches(self, image: SceneImage, magnification: Magnification) -> Iterator[Batch]:
        """Yield the batches of a scene. Skip tiles without data."""
        windows = magnification.windows(image.width, image.height, self.tile, self.overlap)
        with_data = (window for window in windows if image.shows(window, magnification.shrunk(window)))
        while batch := list(islice(with_data, self.batch_size)):
            tiles = (magnification.tile(image, window)[..., ::-1] for window in batch)
            inputs = [self.transform({"img": tile}) for tile in tiles]
            yield Batch([window * magnification.corners for window in batch], inputs)


def for_arrays(pipeline: Sequence[dict[str, Any]]) -> Compose:
    """Build a test pipeline whose input is a BGR array instead of an image file."""
    return Compose([TRANSFORMS.build(step) for step in ({"type": "LoadImageFromNDArray"}, *pipeline[1:])])
