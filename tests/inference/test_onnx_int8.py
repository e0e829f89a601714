from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from oil_storage.inference.candidates import Rules
from oil_storage.inference.onnx_export import export
from oil_storage.inference.onnx_int8 import quantised
from oil_storage.inference.onnx_metadata import read_metadata
from oil_storage.inference.runtimes import OnnxRuntime
from oil_storage.inference.tile_detector import Description
from tests.small_detectors import small_detector, with_statistics


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a small detector in float32 and in 8 bits."""
    folder = tmp_path_factory.mktemp("int8")
    model, side = small_detector(Path("configs/oil/ssd_lite0.py"))
    about = Description(tile=side, batch_size=1, test_cfg=Rules(), score_threshold=0.4)
    content, _ = export(with_statistics(model), about, checkpoint_sha256="abc")
    (folder / "a.onnx").write_bytes(content)
    tiles = np.random.default_rng(0).uniform(0, 255, (4, 1, 3, side, side)).astype(np.float32)
    (folder / "a.int8.onnx").write_bytes(quantised(folder / "a.onnx", tiles))
    return folder / "a.onnx", folder / "a.int8.onnx"


def test_layers_are_quantised_and_the_first_convolution_is_not(versions: tuple[Path, Path]) -> None:
    graph = onnx.load(versions[1]).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    inputs = Counter(made_by.get(node.input[0]) for node in graph.node if node.op_type == "Conv")
    assert inputs["DequantizeLinear"] == inputs.total() - 1
    assert inputs.total() > 50
    assert read_metadata(versions[1]) == read_metadata(versions[0])
    assert versions[1].stat().st_size < versions[0].stat().st_size


def test_boxes_are_decoded_in_float32(versions: tuple[Path, Path]) -> None:
    about = read_metadata(versions[0])
    tiles = np.random.default_rng(1).uniform(0, 255, (1, 3, *about.size)).astype(np.float32)
    (boxes, scores), (coarse_boxes, coarse_scores) = (OnnxRuntime(path, "cpu")(tiles) for path in versions)
    assert len(np.unique(coarse_boxes[..., 0])) > 1000  # 8 bits can distinguish 256 positions
    assert np.median(np.abs(coarse_boxes - boxes)) < 0.5
    assert np.abs(coarse_scores - scores).max() < 0.1
