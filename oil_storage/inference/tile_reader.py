"""Reads scenes tile by tile, in a thread of its own, as a detector takes them."""

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
Batch = tuple[list[NDArray[np.int64]], list[dict[str, Any]]]
"""Windows of tiles, ``(4,)`` xyxy in pixels of the scene, and what the test pipeline made of their pixels."""


@dataclass(frozen=True)
class TileReader:
    """How scenes are cut and their tiles prepared.

    Attributes:
        pipeline: a config's test pipeline.
        tile: pixels a side of what the detector gets.
        overlap: pixels of the scene that neighbouring tiles share.
        scale: scenes are magnified by it: a tile shows ``tile / scale`` pixels of them.
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

    def read_ahead(self, scenes: Iterable[Source]) -> Iterator[tuple[Source, SceneImage | UserError, Iterator[Any]]]:
        """Open scenes in order and read their tiles before their turn; tiles without data are left out.

        Yields:
            tuple: the scene as given; the open scene, or why it cannot be opened; and an iterator over :data:`Batch`,
                or over why it cannot be read on, which must be used up before the next scene is asked for.
        """
        prepare = for_arrays(self.pipeline)
        read: queue.Queue[Any] = queue.Queue(maxsize=AHEAD)
        stopped = threading.Event()

        def put(item: Any) -> None:
            while not stopped.is_set():
                try:
                    read.put(item, timeout=0.1)
                except queue.Full:
                    continue
                return

        def work() -> None:
            try:
                for source in scenes:
                    if stopped.is_set():
                        return
                    for item in self._read(source, prepare):
                        put(item)
                    put(None)
                put(None)
            except BaseException as error:  # it is raised where it is waited for
                put(error)

        def get() -> Any:
            item = read.get()
            if isinstance(item, BaseException) and not isinstance(item, UserError):
                raise item
            return item

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (head := get()) is not None:
                source, image = head
                yield source, image, iter(get, None)
        finally:
            stopped.set()
            thread.join()

    def _read(self, source: Source, prepare: Compose) -> Iterator[Any]:
        """A scene with its image, then its batches; or a fault in place of what cannot be had."""
        try:
            image = open_scene(source, self.reading)
        except (UserError, OSError) as error:
            yield source, error if isinstance(error, UserError) else UserError(f"{source}: {error.strerror or error}")
            return
        yield source, image
        try:
            windows = tile_grid(image.width, image.height, self.shown, self.overlap)
            shown = (window for window in windows if image.shows(window))
            while batch := [window for _, window in zip(range(self.batch_size), shown, strict=False)]:
                yield batch, [prepare({"img": self._magnified(image.read(window))[..., ::-1]}) for window in batch]
        except UserError as error:
            yield error

    def _magnified(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.scale == 1:
            return pixels
        height, width = (max(1, round(side * self.scale)) for side in pixels.shape[:2])
        how = cv2.INTER_LINEAR if self.scale > 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)


def for_arrays(pipeline: Sequence[dict[str, Any]]) -> Compose:
    """A test pipeline that is given pixels, BGR as OpenCV reads them, in place of a file and its boxes."""
    return Compose([TRANSFORMS.build(step) for step in [{"type": "LoadImageFromNDArray"}, *_of_pixels(pipeline)]])


def _of_pixels(steps: Sequence[Any]) -> list[Any]:
    """Steps, and alternatives among them, without those that read files."""
    kept: list[Any] = []
    for step in steps:
        if not isinstance(step, dict):
            kept += [alternatives] if (alternatives := _of_pixels(step)) else []
        elif step["type"] not in ("LoadImageFromFile", "LoadAnnotations"):
            kept.append({**step, "transforms": _of_pixels(step["transforms"])} if "transforms" in step else step)
    return kept
