"""Export detectors to ONNX, with the metadata that inference needs."""

import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.inference.onnx_detector import resized_size
from oil_storage.inference.onnx_metadata import KEY, Metadata
from oil_storage.inference.raw_detector import RawDetector
from oil_storage.inference.tile_detector import Description

OPSET = 17
WORTH_A_CAST = 256
"""Minimum number of values in a weight that is stored in half precision."""
WITH_NMS_INSIDE = ("DDQDETR",)
"""DETR-type detectors that run NMS inside the network, to select queries."""
IGNORED = ("LoadImageFromFile", "LoadAnnotations", "PackDetInputs")
"""Steps of a test pipeline that do not change the pixels."""


def export(
    model: Any, about: Description, resize: float | tuple[int, int] = 1.0, checkpoint_sha256: str = ""
) -> tuple[bytes, Metadata]:
    """Export a detector to ONNX.

    The exported input ``tiles`` and the outputs ``boxes`` and ``scores`` are those of :meth:`RawDetector.forward`. The
    number of tiles can vary. Batch norms are not folded into convolutions, so that weights of half precision can be
    stored in half precision; the runtimes fold them when they load the file.

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
            training=torch.onnx.TrainingMode.PRESERVE,  # does not fold batch norms
            opset_version=OPSET,
            input_names=["tiles"],
            output_names=["boxes", "scores"],
            dynamic_axes={name: {0: "N"} for name in ("tiles", "boxes", "scores")},
        )
        graph = onnx.load(path)
    fold_pads(graph)
    store_in_half(graph)
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
    return with_metadata(graph, metadata), metadata


def with_metadata(model: Any, metadata: Metadata) -> bytes:
    """Return the content of an ONNX file with metadata.

    Args:
        model: ``onnx.ModelProto``; changed in place.
        metadata: metadata to store.
    """
    import onnx

    onnx.helper.set_model_props(model, {KEY: json.dumps(asdict(metadata))})
    return bytes(model.SerializeToString())


def fold_pads(model: Any) -> int:
    """Fold the padding with zeros before convolutions into the convolutions, in place; return the number of paddings.

    The result is the same and faster.

    Args:
        model: ``onnx.ModelProto``.
    """
    from onnx import helper

    graph = model.graph
    users = Counter(name for node in graph.node for name in node.input)
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad" and users[node.output[0]] == 1}
    folded = 0
    for conv in [node for node in graph.node if node.op_type == "Conv" and node.input[0] in pads]:
        pad = pads[conv.input[0]]
        if any(part.name == "mode" and part.s != b"constant" for part in pad.attribute):
            continue
        names = [name for name in pad.input[1:] if name]
        values = [value for name in names if (value := _constant(model, name)) is not None]
        if len(values) < len(names) or any(value.any() for value in values[1:]):
            continue  # the padding depends on the input, or has another colour
        around = values[0].reshape(2, -1)  # before and after each axis
        if around.shape[1] != 4 or around[:, :2].any() or (around < 0).any():
            continue
        own = next((part for part in conv.attribute if part.name == "pads"), None)
        total = around[:, 2:].flatten() + (0 if own is None else np.array(own.ints))
        if own is not None:
            conv.attribute.remove(own)
        conv.attribute.append(helper.make_attribute("pads", total.tolist()))
        conv.input[0] = pad.input[0]
        graph.node.remove(pad)
        folded += 1
    _remove_unused(graph)
    return folded


def _remove_unused(graph: Any) -> None:
    """Remove the nodes whose results nothing uses."""
    used = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):  # in the order of the computation
        if used.intersection(node.output):
            used.update(node.input)
        else:
            graph.node.remove(node)


def _constant(model: Any, name: str) -> NDArray[Any] | None:
    """Compute a value that does not depend on the input of the network; return None if it does."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    inputs = {value.name for value in graph.input}
    needed, nodes = {name}, []
    for node in reversed(graph.node):  # in the order of the computation
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    if needed & inputs:
        return None
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    output = helper.make_empty_tensor_value_info(name)
    part = helper.make_model(
        helper.make_graph(nodes[::-1], "part", [], [output], weights), opset_imports=model.opset_import
    )
    (value,) = ReferenceEvaluator(part).run(None, {})
    return np.asarray(value)


def store_in_half(model: Any) -> None:
    """Store weights as float16 if this does not change their values, in place.

    A Cast restores float32. The results are exactly the same, and the file is half as large.

    Args:
        model: ``onnx.ModelProto``.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < WORTH_A_CAST or not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


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
