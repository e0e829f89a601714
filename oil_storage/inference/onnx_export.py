"""A trained detector as an ONNX file that says how it is used."""

import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from oil_storage.inference.raw_detector import RawDetector

OPSET = 17
METADATA = "oil_storage"
"""Key of the file's metadata: json of what :func:`export` is told, and how to go on from what the graph gives."""


def export(model: Any, size: tuple[int, int], about: Mapping[str, Any]) -> bytes:
    """Export a detector: ``tiles`` in, ``boxes`` and ``scores`` before NMS out, for any number of tiles.

    Args:
        model: of mmdet, with its weights, in evaluation mode.
        size: height and width of tiles, pixels.
        about: what the file's metadata is to say.

    Returns:
        bytes: of the file; see :class:`oil_storage.inference.raw_detector.RawDetector` for what it computes.

    Raises:
        UserError: a detector with NMS in its middle.
    """
    import onnx

    raw = RawDetector(model, size).eval()
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.no_grad(),
        warnings.catch_warnings(action="ignore"),  # of constants, which sizes are meant to be
    ):
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            raw,
            (torch.zeros(2, 3, *size),),
            path,
            dynamo=False,  # torch.export refuses mmdet's loops over lists of samples
            opset_version=OPSET,
            input_names=["tiles"],
            output_names=["boxes", "scores"],
            dynamic_axes={name: {0: "N"} for name in ("tiles", "boxes", "scores")},
        )
        graph = onnx.load(path)
    onnx.checker.check_model(graph)
    test_cfg = dict(model.test_cfg or {})
    levels = [] if raw.has_queries else raw.levels
    used = {**about, "size": size, "padding": raw.padding(), "clips": raw.clips, "levels": levels, "test_cfg": test_cfg}
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(used)})
    exported: bytes = graph.SerializeToString()
    return exported
