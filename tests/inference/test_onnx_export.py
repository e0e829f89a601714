from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config

from oil_storage.errors import UserError
from oil_storage.inference.candidates import Rules
from oil_storage.inference.onnx_detector import OnnxDetector
from oil_storage.inference.onnx_export import export, fold_pads, resize_of, store_in_half
from oil_storage.inference.raw_detector import RawDetector
from oil_storage.inference.tile_detector import Description
from tests.small_detectors import CONFIGS, batch, share_found, small_detector, with_statistics

REFUSED = "ddq_detr_r50"


def description(side: int, **values: Any) -> Description:
    return Description(tile=side, batch_size=2, test_cfg=Rules(), **values)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem == "ssd_lite0" else pytest.mark.slow)
        for path in CONFIGS
        if path.stem != REFUSED
    ],
)
def test_exported_detector_equals_pytorch_for_any_number_of_tiles(path: Path, tmp_path: Path) -> None:
    model, side = small_detector(path)
    with_statistics(model)
    content, metadata = export(model, description(side, score_threshold=0.25), checkpoint_sha256="abc")
    (tmp_path / "a.onnx").write_bytes(content)
    exported = OnnxDetector(tmp_path / "a.onnx", "cpu")
    assert exported.about == metadata
    assert (metadata.score_threshold, metadata.size, metadata.checkpoint_sha256) == (0.25, (side, side), "abc")
    operators = [node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node]
    assert operators.count("NonMaxSuppression") == ("rcnn" in path.stem)  # of the proposals
    raw = RawDetector(model)
    for objects in ((3,), (3, 0, 7)):
        tiles = torch.stack(batch(objects, side)["inputs"]).float()
        with torch.no_grad():
            expected = [value.numpy() for value in raw(tiles)]
        result = exported.network(tiles.numpy())
        assert len(expected[0]) == len(objects)
        assert expected[0].std() > 1
        for index in range(len(objects)):
            assert share_found(*(part[index] for part in (*result, *expected))) >= 0.99


@pytest.mark.slow
def test_detector_with_nms_between_its_layers_is_refused() -> None:
    (path,) = (path for path in CONFIGS if path.stem == REFUSED)
    model, side = small_detector(path)
    with pytest.raises(UserError, match="cannot be exported, because it selects queries by NMS"):
        export(model.eval(), description(side))


def test_resizing_is_read_from_the_test_pipeline() -> None:
    pipelines = {path.stem: Config.fromfile(path).test_dataloader.dataset.pipeline for path in CONFIGS}
    sizes = {name: resize_of(pipeline) for name, pipeline in pipelines.items()}
    assert sizes["ssd_lite0"] == 1.0
    assert sizes["ssd_lite0_x15"] == 1.5
    assert sizes["ssd_r101"] == (1024, 1024)
    assert resize_of([{"type": "LoadImageFromFile"}]) == 1.0


@pytest.mark.parametrize(
    "step", [{"type": "Pad", "size": (64, 64)}, {"type": "Resize", "scale": (64, 64), "keep_ratio": True}]
)
def test_pipeline_that_changes_pixels_in_another_way_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="test pipeline: cannot export"):
        resize_of([{"type": "LoadImageFromFile"}, step])


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def convolution(pads: list[int], value: float = 0.0, mode: str = "constant") -> onnx.ModelProto:
    """Return a graph that pads its input and convolves it with weights, a part of which needs float32."""
    random = np.random.default_rng(0)
    tensors = {
        "pads": np.array(pads, np.int64),
        "value": np.float32(value),
        "exact": random.integers(-9, 9, (9, 4, 3, 3)).astype(np.float32) / 8,
        "fine": random.random((9, 9, 6, 6), np.float32),
    }
    nodes = [
        onnx.helper.make_node("Pad", ["x", "pads", "value"], ["padded"], mode=mode),
        onnx.helper.make_node("Conv", ["padded", "exact"], ["y"], pads=[0, 1, 0, 1], strides=[2, 2]),
        onnx.helper.make_node("Conv", ["y", "fine"], ["z"]),
    ]
    x, z = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, None, None, None]) for name in "xz")
    weights = [onnx.numpy_helper.from_array(values, name) for name, values in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "padding", [x], [z], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("arguments", "folded"),
    [
        (([0, 0, 1, 0, 0, 0, 2, 1],), 1),
        (([0, 0, 1, 1, 0, 0, 1, 1], 3.0), 0),
        (([0, 0, 1, 1, 0, 0, 1, 1], 0.0, "reflect"), 0),
        (([0, 1, 1, 1, 0, 0, 1, 1],), 0),
        (([0, 0, -1, 0, 0, 0, 0, 0],), 0),
    ],
)
def test_padding_with_zeros_is_folded_and_the_result_stays(arguments: tuple[Any, ...], folded: int) -> None:
    model = convolution(*arguments)
    x = np.random.default_rng(1).random((1, 3 if arguments[0][1] else 4, 20, 24)).astype(np.float32)
    before = run(model, x)
    assert fold_pads(model) == folded
    assert [node.op_type for node in model.graph.node].count("Pad") == 1 - folded
    np.testing.assert_allclose(run(model, x), before, rtol=1e-5)


def test_weights_are_halved_only_if_no_value_changes() -> None:
    model = convolution([0, 0, 1, 0, 0, 0, 2, 1])
    x = np.random.default_rng(1).random((1, 4, 20, 24)).astype(np.float32)
    before = run(model, x)
    store_in_half(model)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types["exact.half"] == onnx.TensorProto.FLOAT16
    assert types["fine"] == onnx.TensorProto.FLOAT
    np.testing.assert_array_equal(run(model, x), before)
