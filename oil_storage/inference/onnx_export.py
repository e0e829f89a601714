"""A trained detector as an ONNX file that says how it is used."""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from oil_storage.imagery import Reading
from oil_storage.inference.raw_detector import RawDetector

OPSET = 17
METADATA = "oil_storage"
"""Key of the file's metadata: JSON of :class:`Metadata`."""


@dataclass(frozen=True)
class Metadata:
    """What an exported detector says of itself, and how its raw output becomes detections.

    Attributes:
        size: height and width of tiles, pixels.
        padding: RGB of what a smaller tile is filled up with.
        clips: whether boxes are clipped to the tile.
        levels: number of candidates on each level of the head; empty where there is one.
        test_cfg: of the model in mmdet: score threshold, NMS and limits.
        config: name of the config.
        checkpoint_sha256: of the checkpoint that was exported.
        score_threshold: chosen on the val split; None if none was chosen.
        reading: how the bands of the training's scenes became colours.
    """

    size: tuple[int, int]
    padding: list[float]
    clips: bool
    levels: list[int]
    test_cfg: dict[str, Any]
    config: str = ""
    checkpoint_sha256: str = ""
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    reading: Reading | None = None


def export(model: Any, size: tuple[int, int], about: Mapping[str, Any]) -> bytes:
    """Export a detector: ``tiles`` in, ``boxes`` and ``scores`` before NMS out, for any number of tiles.

    Args:
        model: of mmdet, with its weights, in evaluation mode.
        size: height and width of tiles, pixels.
        about: the attributes of :class:`Metadata` that have a default.

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
    metadata = Metadata(size, raw.padding(), raw.clips, levels, test_cfg, **about)
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(asdict(metadata))})
    exported: bytes = graph.SerializeToString()
    return exported
