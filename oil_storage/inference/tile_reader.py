"""Read scenes tile by tile in a background thread."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.imagery import Reading, SceneImage, open_scene
from oil_storage.tiling import tile_grid

AHEAD = 4
"""Number of batches that are read in advance."""

Source = Path | NDArray[np.uint8]


class Batch(NamedTuple):
    """Tiles of one scene: windows ``(4,)`` xyxy in pixels of the scene, and outputs of the test pipeline."""

    windows: list[NDArray[np.int64]]
    inputs: list[dict[str, Any]]


class EndOfScene(NamedTuple):
    """Marker after the batches of a scene: the source, and the opened image or the error that stopped its reading."""

    source: Source
    image: SceneImage | UserError


@dataclass(frozen=True)
class TileReader:
    """Reader that cuts scenes into tiles and applies the test pipeline.

    Attributes:
        pipeline: test pipeline of a config; its first step loads an image file.
        tile: side of a tile in pixels, after magnification.
        overlap: overlap of neighbouring tiles, in pixels of the scene.
        scale: magnification; a tile covers ``tile / scale`` pixels of the scene.
        batch_size: number of tiles in a batch.
        reading: bands and stretch of the scenes.
    """

    pipeline: Sequence[dict[str, Any]]
    tile: int
    overlap: int
    scale: float
    batch_size: int
    reading: Reading

    @property
    def shown(self) -> int:
        """Side of a tile in pixels of the scene."""
        return max(1, round(self.tile / self.scale))

    def read(self, scenes: Iterable[Source]) -> Iterator[Batch | EndOfScene]:
        """Yield the batches of all scenes in order, without tiles that have no data; read :data:`AHEAD` in advance."""
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
        transform = for_arrays(self.pipeline)
        for source in scenes:
            try:
                image = open_scene(source, self.reading)
                windows = tile_grid(image.width, image.height, self.shown, self.overlap)
                shown = (window for window in windows if image.shows(window))
                while batch := list(islice(shown, self.batch_size)):
                    tiles = (self._magnified(image.read(window))[..., ::-1] for window in batch)
                    yield Batch(batch, [transform({"img": tile}) for tile in tiles])
            except (UserError, OSError) as error:
                yield EndOfScene(source, UserError(str(error)))
            else:
                yield EndOfScene(source, image)

    def _magnified(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.scale == 1:
            return pixels
        height, width = (max(1, round(side * self.scale)) for side in pixels.shape[:2])
        interpolation = cv2.INTER_LINEAR if self.scale > 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def for_arrays(pipeline: Sequence[dict[str, Any]]) -> Compose:
    """Build a test pipeline whose input is a BGR array instead of an image file."""
    return Compose([TRANSFORMS.build(step) for step in ({"type": "LoadImageFromNDArray"}, *pipeline[1:])])
