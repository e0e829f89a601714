"""Quantise exported detectors to 8 bits, in the QDQ format of ONNX.

Only the layers of the network are quantised. The decoding of boxes and scores stays in float32, because coordinates of
up to 1,000 px would move in steps of 4 px. The first convolution, which reads the pixels, also stays.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oil_storage.inference.onnx_export import with_metadata
from oil_storage.inference.onnx_metadata import read_metadata

LAYERS = ("backbone", "neck", "bbox_head", "rpn_head", "roi_head", "encoder", "decoder")
"""Modules of mmdet's detectors; the names of their nodes start with these names."""


def quantised(path: Path, tiles: Iterable[NDArray[np.float32]]) -> bytes:
    """Quantise a detector: weights per channel, and activations by their minimum and maximum in some tiles.

    Args:
        path: ONNX file that ``tools/export.py`` wrote.
        tiles: inputs of the network, ``(N, 3, H, W)``; 50 training tiles, half of them with many objects, are enough.

    Returns:
        bytes: content of the ONNX file, with the metadata of the given one.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        logging.getLogger().addHandler(logging.NullHandler())  # otherwise ONNX Runtime shows all messages a second time
        folded, result = Path(folder, "folded.onnx"), Path(folder, "quantised.onnx")
        quant_pre_process(str(path), str(folded), skip_symbolic_shape=True)  # also folds batch norms
        graph = onnx.load(folded).graph
        stem = next(node.name for node in graph.node if node.op_type == "Conv")
        quantization.quantize_static(
            str(folded),
            str(result),
            _Reader(tiles),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            nodes_to_exclude=[stem, *(node.name for node in graph.node if not _is_layer(node.name))],
        )
        return with_metadata(onnx.load(result), replace(read_metadata(path), int8_for=[]))


def _is_layer(node: str) -> bool:
    return node.removeprefix("/").partition("/")[0].partition(".")[0] in LAYERS


class _Reader:
    """Calibration data, a ``CalibrationDataReader`` of ONNX Runtime."""

    def __init__(self, tiles: Iterable[NDArray[np.float32]]) -> None:
        self._tiles: Iterator[NDArray[np.float32]] = iter(tiles)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input; None after the last."""
        tiles = next(self._tiles, None)
        return None if tiles is None else {"tiles": tiles}
