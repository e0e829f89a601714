"""Run exported networks in ONNX Runtime or OpenVINO, and choose between them.

Several threads may call a network at once. On a CPU, this is faster than one call with several threads, because threads
of one call wait for each other after every layer.
"""

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oil_storage import processor
from oil_storage.errors import UserError
from oil_storage.inference.onnx_metadata import read_metadata
from oil_storage.parallel import threads

ONNX, INT8 = ".onnx", ".int8.onnx"
"""Suffix of exported detectors, and of those that compute in 8 bits."""
MOST_CALLS = 8
"""Maximum number of calls at once, which limits the memory."""

Floats = NDArray[np.float32]


class Network(Protocol):
    """Network in a runtime.

    Attributes:
        on_cuda: whether the network runs on a GPU.
        workers: number of calls at once that keep the device busy.
    """

    on_cuda: bool
    workers: int

    def __call__(self, tiles: Floats) -> tuple[Floats, Floats]:
        """Predict boxes ``(N, M, 4)`` and scores ``(N, M)`` of tiles, RGB ``(N, 3, H, W)``, 0 to 255."""


class OnnxRuntime:
    """Network in ONNX Runtime, a :class:`Network`.

    Args:
        path: ONNX file.
        device: ``cpu``, or ``cuda`` if ONNX Runtime is built with CUDA; None uses CUDA if it is available.

    Raises:
        UserError: ONNX Runtime lacks CUDA.
    """

    def __init__(self, path: Path, device: str | None = None) -> None:
        import onnxruntime

        if device == "cuda" and not _has_cuda():
            raise UserError("--device cuda: this ONNX Runtime is built without CUDA; give --device cpu")
        self.on_cuda = device != "cpu" and _has_cuda()
        self.workers = 1 if self.on_cuda else min(threads(), MOST_CALLS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads() // self.workers
        options.log_severity_level = 3  # errors only; hides warnings about unused initializers
        provider = "CUDAExecutionProvider" if self.on_cuda else "CPUExecutionProvider"
        self._session = onnxruntime.InferenceSession(path, options, providers=[provider])

    def __call__(self, tiles: Floats) -> tuple[Floats, Floats]:
        """Predict boxes and scores, see :class:`Network`."""
        boxes, scores = self._session.run(["boxes", "scores"], {"tiles": tiles})
        return boxes, scores


class OpenVino:
    """Network in OpenVINO on the CPU, a :class:`Network`.

    Args:
        path: ONNX file.
        size: height and width of a tile.

    Raises:
        UserError: OpenVINO is not installed.
    """

    on_cuda = False

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        try:
            import openvino
        except ImportError as error:
            raise UserError(f"--backend openvino: {error}; run: pip install openvino, or use --backend onnx") from error
        self.workers = min(threads(), MOST_CALLS)
        core = openvino.Core()
        network = core.read_model(path)
        network.reshape({"tiles": [1, 3, *size]})
        settings = {
            "INFERENCE_NUM_THREADS": threads(),
            "NUM_STREAMS": self.workers,
            "INFERENCE_PRECISION_HINT": "f32",  # the default would be bfloat16 where the processor supports it
        }
        self._network = core.compile_model(network, "CPU", settings)
        self._requests = threading.local()  # a request holds the memory of one call

    def __call__(self, tiles: Floats) -> tuple[Floats, Floats]:
        """Predict boxes and scores, see :class:`Network`; tiles are processed one after another."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._network.create_infer_request()
        request: Any = self._requests.own
        boxes, scores = [], []
        for tile in tiles:
            request.infer({"tiles": tile[None]}, share_inputs=True)
            boxes.append(request.get_tensor("boxes").data[0].copy())
            scores.append(request.get_tensor("scores").data[0].copy())
        return np.stack(boxes), np.stack(scores)


def choose(
    path: Path, backend: str | None = None, precision: str = "auto", device: str | None = None
) -> tuple[Path, str]:
    """Choose the backend of a detector, and the file with the wanted precision.

    The 8-bit version of ``NAME.onnx`` is ``NAME.int8.onnx`` in the same folder. By default it is used if it is faster
    with this backend on this kind of processor, and as accurate; see ``tools/release.py``.

    Args:
        path: exported detector, or a checkpoint.
        backend: ``onnx``, ``openvino`` or ``torch``; None uses the fastest that is installed and runs the file.
        precision: ``float32``, ``int8`` or ``auto``.
        device: ``cpu`` or ``cuda``; None uses CUDA if it is available.

    Returns:
        tuple: path and backend. If they are passed again, the result is the same.

    Raises:
        UserError: the backend cannot run the file, or the file does not exist in this precision.
    """
    if path.suffix.lower() != ONNX:
        if backend in ("onnx", "openvino"):
            raise UserError(
                f"{path}: --backend {backend} needs an exported detector; run oil-storage export CONFIG {path}"
            )
        if precision == "int8":
            raise UserError(f"{path}: only exported detectors compute in 8 bits; run tools/release.py CONFIG {path}")
        return path, "torch"
    if backend == "torch":
        raise UserError(f"{path}: --backend torch needs a checkpoint (.pth, .safetensors); give it with its config")
    if backend is None:
        on_cuda = device == "cuda" or (device is None and _has_cuda())
        backend = "openvino" if find_spec("openvino") is not None and not on_cuda else "onnx"
    is_int8 = path.name.endswith(INT8)
    if is_int8 and precision == "float32":
        raise UserError(f"{path}: computes in 8 bits; give {path.name.removesuffix(INT8)}{ONNX}")
    other = path.with_suffix(INT8)
    if is_int8 or precision == "float32":
        return path, backend
    about = read_metadata(other) if other.is_file() else None
    is_current = about is not None and about.checkpoint_sha256 == read_metadata(path).checkpoint_sha256
    if precision == "int8" and not is_current:
        raise UserError(f"{other}: is not the 8-bit version of {path.name}; run tools/release.py")
    is_better = about is not None and f"{backend}/{processor.kind()}" in about.int8_for
    return (other if is_current and (precision == "int8" or is_better) else path), backend


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
