"""A trained detector as an ONNX file that says how it is used."""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.inference.raw_detector import RawDetector

OPSET = 17
METADATA = "oil_storage"
"""Key of the file's metadata: JSON of :class:`Metadata`."""


Side = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Suppression:
    """Arguments of :func:`mmcv.ops.batched_nms`, which evaluates ``type`` as Python: only known names may reach it."""

    iou_threshold: Annotated[float, Field(ge=0, le=1)]
    type: Literal["nms"] = "nms"


@dataclass(frozen=True)
class Rules:
    """Rules that turn raw output into detections: mmdet's ``test_cfg``.

    Attributes:
        score_thr: detections with lower scores are dropped.
        nms_pre: best candidates of each level that are kept; -1 keeps all.
        min_bbox_size: boxes must have longer sides, pixels; -1 keeps all.
        max_per_img: best detections of a tile that are kept; None keeps all.
        vote_iou: see :func:`oil_storage.models.box_voting.voted`.
        nms: None where the detector needs none.
    """

    score_thr: Annotated[float, Field(ge=0, le=1)] = 0.0
    nms_pre: int = -1
    min_bbox_size: float = -1.0
    max_per_img: Annotated[int, Field(gt=0)] | None = None
    vote_iou: Annotated[float, Field(ge=0, le=1)] | None = None
    nms: Suppression | None = None


@dataclass(frozen=True)
class Metadata:
    """Metadata of an exported detector.

    Attributes:
        size: height and width of tiles, pixels.
        padding: RGB of what a smaller tile is filled up with.
        clips: whether boxes are clipped to the tile.
        levels: number of candidates on each level of the head; empty where there is one.
        test_cfg: how the raw output becomes detections.
        config: name of the config.
        checkpoint_sha256: of the checkpoint that was exported.
        score_threshold: chosen on the val split; None if none was chosen.
        reading: how the bands of the training's scenes became colours.
    """

    size: tuple[Side, Side]
    padding: tuple[Finite, Finite, Finite]
    clips: bool
    levels: list[Annotated[int, Field(ge=0)]]
    test_cfg: Rules
    config: str = ""
    checkpoint_sha256: str = ""
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    reading: Reading = DEFAULT_READING


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
    told = {name: value for name, value in dict(model.test_cfg or {}).items() if name in Rules.__dataclass_fields__}
    if "nms" in told:
        told["nms"] = Suppression(**told["nms"])
    levels = [] if raw.has_queries else raw.levels
    metadata = Metadata(size, raw.padding(), raw.clips, levels, Rules(**told), **about)
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(asdict(metadata))})
    exported: bytes = graph.SerializeToString()
    return exported
