"""Reader of scenes, tile by tile, in a thread of its own."""

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
"""Batches that are read and decoded before their turn."""

Source = Path | NDArray[np.uint8]


class Batch(NamedTuple):
    """Tiles of one scene: windows ``(4,)`` xyxy in pixels of the scene, and what the test pipeline made of each."""

    windows: list[NDArray[np.int64]]
    inputs: list[dict[str, Any]]


class EndOfScene(NamedTuple):
    """End of a scene: as given, and as opened, or the fault why it cannot be read to its end."""

    source: Source
    image: SceneImage | UserError


@dataclass(frozen=True)
class TileReader:
    """How scenes are cut and their tiles prepared.

    Attributes:
        pipeline: a config's test pipeline.
        tile: side of what the detector gets, pixels.
        overlap: pixels of the scene that neighbouring tiles share.
        scale: magnification of scenes: a tile shows ``tile / scale`` pixels of them.
        batch_size: tiles at a time.
        reading: how the bands of scenes become colours.
    """

    pipeline: Sequence[dict[str, Any]]
    tile: int
    overlap: int
    scale: float
    batch_size: int
    reading: Reading

    @property
    def shown(self) -> int:
        """Pixels of the scene along a tile's side."""
        return max(1, round(self.tile / self.scale))

    def read(self, scenes: Iterable[Source]) -> Iterator[Batch | EndOfScene]:
        """Read scenes in order, :data:`AHEAD` batches before their turn; tiles without data are left out."""
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
            except UserError as error:
                yield EndOfScene(source, error)
            except OSError as error:
                yield EndOfScene(source, UserError(f"{source}: {error.strerror or error}"))
            else:
                yield EndOfScene(source, image)

    def _magnified(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.scale == 1:
            return pixels
        height, width = (max(1, round(side * self.scale)) for side in pixels.shape[:2])
        interpolation = cv2.INTER_LINEAR if self.scale > 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def for_arrays(pipeline: Sequence[dict[str, Any]]) -> Compose:
    """Build a test pipeline that takes pixels, BGR as OpenCV reads them, in place of a file and its boxes."""
    steps = [{"type": "LoadImageFromNDArray"}, *_without_loading(pipeline)]
    return Compose([TRANSFORMS.build(step) for step in steps])


def _without_loading(steps: Sequence[Any]) -> list[Any]:
    """Return steps, and alternatives among them, without those that read files."""
    kept: list[Any] = []
    for step in steps:
        if not isinstance(step, dict):
            kept += [alternatives] if (alternatives := _without_loading(step)) else []
        elif step["type"] not in ("LoadImageFromFile", "LoadAnnotations"):
            kept.append({**step, "transforms": _without_loading(step["transforms"])} if "transforms" in step else step)
    return kept
