"""Export detectors to ONNX, with the metadata that inference needs."""

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from oil_storage.errors import UserError
from oil_storage.inference.onnx_detector import METADATA, Metadata, resized_size
from oil_storage.inference.raw_detector import RawDetector
from oil_storage.inference.tile_detector import Description

OPSET = 17
WITH_NMS_INSIDE = ("DDQDETR",)
"""DETR-type detectors that run NMS inside the network, to select queries."""
IGNORED = ("LoadImageFromFile", "LoadAnnotations", "PackDetInputs")
"""Steps of a test pipeline that do not change the pixels."""


def export(
    model: Any, about: Description, resize: float | tuple[int, int] = 1.0, checkpoint_sha256: str = ""
) -> tuple[bytes, Metadata]:
    """Export a detector to ONNX.

    The exported input ``tiles`` and the outputs ``boxes`` and ``scores`` are those of :meth:`RawDetector.forward`. The
    number of tiles can vary.

    Args:
        model: mmdet model with its weights, in evaluation mode.
        about: description of the detector.
        resize: see :class:`Metadata`.
        checkpoint_sha256: see :class:`Metadata`.

    Returns:
        tuple: content of the ONNX file, and its metadata.

    Raises:
        UserError: ONNX cannot express the detector.
    """
    import onnx

    if type(model).__name__ in WITH_NMS_INSIDE:
        raise UserError(
            f"{type(model).__name__}: cannot be exported, because it selects queries by NMS between the layers of its "
            "decoder; use the PyTorch checkpoint"
        )
    raw = RawDetector(model).eval()
    width, height = resized_size((about.tile, about.tile), resize)
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.no_grad(),
        warnings.catch_warnings(action="ignore"),  # torch warns that sizes become constants
    ):
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            raw,
            (torch.zeros(2, 3, height, width),),
            path,
            dynamo=False,  # torch.export rejects mmdet's loops over samples
            opset_version=OPSET,
            input_names=["tiles"],
            output_names=["boxes", "scores"],
            dynamic_axes={name: {0: "N"} for name in ("tiles", "boxes", "scores")},
        )
        graph = onnx.load(path)
    onnx.checker.check_model(graph)
    metadata = Metadata(
        **vars(about),
        size=(height, width),
        resize=resize,
        padding=raw.padding(),
        clips=raw.clips,
        levels=raw.levels,
        checkpoint_sha256=checkpoint_sha256,
    )
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(asdict(metadata))})
    return bytes(graph.SerializeToString()), metadata


def resize_of(pipeline: Sequence[Mapping[str, Any]]) -> float | tuple[int, int]:
    """Return by which factor, or to which width and height, a test pipeline resizes tiles.

    Raises:
        UserError: the pipeline changes the pixels in another way.
    """
    resize: float | tuple[int, int] = 1.0
    for step in pipeline:
        match step:
            case {"type": kind} if kind in IGNORED:
                continue
            case {"type": "Resize", "scale_factor": int() | float() as factor} if resize == 1.0:
                resize = float(factor)
            case {"type": "Resize", "scale": (int(width), int(height))} if resize == 1.0 and not step.get("keep_ratio"):
                resize = width, height
            case _:
                raise UserError(
                    f"test pipeline: cannot export {dict(step)}; "
                    "use one Resize with scale_factor, or with scale and without keep_ratio"
                )
    return resize
