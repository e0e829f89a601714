"""Run exported detectors, without torch and the packages of OpenMMLab."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.inference.candidates import select
from oil_storage.inference.onnx_metadata import Metadata, read_metadata
from oil_storage.inference.runtimes import Network, OnnxRuntime, OpenVino
from oil_storage.inference.tile_detector import Prepared
from oil_storage.merging import Detections


class OnnxDetector:
    """Exported detector, a :class:`oil_storage.inference.tile_detector.TileDetector`.

    Args:
        path: ONNX file that ``tools/export.py`` wrote.
        device: ``cpu``, or ``cuda`` if ONNX Runtime is built with CUDA; None uses CUDA if it is available.
        backend: ``onnx`` or ``openvino``, see :mod:`oil_storage.inference.runtimes`.

    Attributes:
        about: metadata of the file.
        rules: see :class:`oil_storage.inference.tile_detector.TileDetector`.
        batch_size: see there.
        workers: see there.
        network: network with the input ``tiles``, float32 RGB ``(N, 3, H, W)``, 0 to 255, and the outputs ``boxes``
            ``(N, M, 4)`` and ``scores`` ``(N, M)``.

    Raises:
        UserError: ``tools/export.py`` did not write the file, or the backend is not available on the device.
    """

    about: Metadata

    def __init__(self, path: Path, device: str | None = None, backend: str = "onnx") -> None:
        self.path = path
        self.about = read_metadata(path)
        try:
            self.network: Network
            self.network = OnnxRuntime(path, device) if backend == "onnx" else OpenVino(path, self.about.size)
        except UserError:
            raise
        except Exception as error:  # the exceptions of the runtimes have no public base class
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{path}: not a detector that tools/export.py wrote ({reason}); export it again") from error
        self.rules = self.about.test_cfg
        self.batch_size = self.about.batch_size if self.network.on_cuda else 1
        self.workers = self.network.workers

    def prepare(self, pixels: NDArray[np.uint8]) -> Prepared:
        """Resize a tile, RGB ``(H, W, 3)``, as the test pipeline of the config does.

        Raises:
            UserError: the tile is larger than those for which the detector was exported.
        """
        height, width = pixels.shape[:2]
        wanted, most = resized_size((width, height), self.about.resize), self.about.size
        if wanted[1] > most[0] or wanted[0] > most[1]:
            raise UserError(f"{self.path}: takes tiles of at most {self.about.tile} px; give a smaller --tile")
        if wanted != (width, height):
            pixels = np.asarray(cv2.resize(pixels, wanted, interpolation=cv2.INTER_LINEAR), np.uint8)
        return Prepared((width, height), pixels)

    def inputs(self, tiles: Sequence[Prepared]) -> NDArray[np.float32]:
        """Return the input of the network for a batch of tiles; smaller tiles are padded."""
        inputs = np.empty((len(tiles), 3, *self.about.size), np.float32)
        inputs[:] = np.reshape(self.about.padding, (3, 1, 1))
        for image, tile in zip(inputs, tiles, strict=True):
            height, width = tile.content.shape[:2]
            image[:, :height, :width] = tile.content.transpose(2, 0, 1)
        return inputs

    def detect(self, tiles: Sequence[Prepared]) -> list[Detections]:
        """Detect in a batch of tiles; return boxes in pixels of each tile, in order of decreasing score.

        Raises:
            UserError: the network predicts scores that are not finite.
        """
        about = self.about
        boxes, scores = self.network(self.inputs(tiles))
        if not np.isfinite(scores).all():
            raise UserError(f"{self.path}: predicts scores that are not finite; export an earlier checkpoint")
        detections = []
        for candidates, tile in zip(map(Detections, boxes, scores), tiles, strict=True):
            height, width = tile.content.shape[:2]
            scale = width / tile.size[0], height / tile.size[1]
            limits = (width, height) if about.clips else None
            detections.append(select(candidates, self.rules, about.levels, scale=scale, limits=limits))
        return detections


def resized_size(size: tuple[int, int], resize: float | tuple[int, int]) -> tuple[int, int]:
    """Return the width and height of a tile after mmdet's ``Resize`` by a factor, or to a width and height."""
    if not isinstance(resize, int | float):
        return resize
    limits = [int(side * resize + 0.5) for side in size]
    factor = min(max(limits) / max(size), min(limits) / min(size))  # mmdet keeps the ratio within the rounded sides
    width, height = (max(1, int(side * factor + 0.5)) for side in size)
    return width, height
