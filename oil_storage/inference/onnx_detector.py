"""Run exported detectors in ONNX Runtime, without torch and the packages of OpenMMLab."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter

from oil_storage.errors import UserError
from oil_storage.inference.candidates import select
from oil_storage.inference.tile_detector import Description, Prepared
from oil_storage.merging import Detections
from oil_storage.parallel import threads

METADATA = "oil_storage"
"""Key in the metadata of an ONNX file; its value is :class:`Metadata` as JSON."""


@dataclass(frozen=True, kw_only=True)
class Metadata(Description):
    """Metadata of an exported detector.

    Attributes:
        size: height and width of the network's input, in pixels.
        resize: factor by which tiles are resized before the network, or the width and height to which they are.
        padding: RGB colour with which smaller tiles are padded.
        clips: whether boxes are clipped to the tile.
        levels: number of candidates on each level of the feature pyramid; empty for detectors without levels.
        checkpoint_sha256: SHA-256 of the exported checkpoint.
    """

    size: tuple[PositiveInt, PositiveInt]
    resize: PositiveFloat | tuple[PositiveInt, PositiveInt] = 1.0
    padding: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    clips: bool
    levels: list[NonNegativeInt]
    checkpoint_sha256: str = ""


class OnnxDetector:
    """Exported detector, a :class:`oil_storage.inference.tile_detector.TileDetector`.

    Args:
        path: ONNX file that ``tools/export.py`` wrote.
        device: ``cpu``, or ``cuda`` if ONNX Runtime is built with CUDA; None uses CUDA if it is available.

    Attributes:
        about: metadata of the file.
        rules: see :class:`oil_storage.inference.tile_detector.TileDetector`.
        batch_size: see there.
        session: session of ONNX Runtime with the input ``tiles``, float32 RGB ``(N, 3, H, W)``, 0 to 255, and the
            outputs ``boxes`` ``(N, M, 4)`` and ``scores`` ``(N, M)``.

    Raises:
        UserError: ``tools/export.py`` did not write the file, or ONNX Runtime lacks CUDA.
    """

    about: Metadata

    def __init__(self, path: Path, device: str | None = None) -> None:
        import onnxruntime

        self.path = path
        has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        if device == "cuda" and not has_cuda:
            raise UserError("--device cuda: this ONNX Runtime is built without CUDA; give --device cpu")
        on_cuda = has_cuda and device != "cpu"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3  # errors only; hides warnings about unused initializers
        provider = "CUDAExecutionProvider" if on_cuda else "CPUExecutionProvider"
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=[provider])
            metadata = self.session.get_modelmeta().custom_metadata_map[METADATA]
            self.about = TypeAdapter(Metadata).validate_json(metadata, strict=True)
        except Exception as error:  # ONNX Runtime's exceptions have no public base class
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{path}: not a detector that tools/export.py wrote ({reason}); export it again") from error
        self.rules = self.about.test_cfg
        self.batch_size = self.about.batch_size if on_cuda else min(max(threads() // 2, 1), self.about.batch_size)

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

    def detect(self, tiles: Sequence[Prepared]) -> list[Detections]:
        """Detect in a batch of tiles; return boxes in pixels of each tile, in order of decreasing score.

        Raises:
            UserError: the network predicts scores that are not finite.
        """
        about = self.about
        inputs = np.empty((len(tiles), 3, *about.size), np.float32)
        inputs[:] = np.reshape(about.padding, (3, 1, 1))
        for image, tile in zip(inputs, tiles, strict=True):
            height, width = tile.content.shape[:2]
            image[:, :height, :width] = tile.content.transpose(2, 0, 1)
        boxes, scores = self.session.run(None, {"tiles": inputs})
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
