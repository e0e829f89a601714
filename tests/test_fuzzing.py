"""Random and damaged content of files from elsewhere: readers raise their own errors only.

``OIL_STORAGE_FUZZ=N`` tries ``N`` times as many examples, and other ones in each run.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oil_storage.annotations import formats, tfrecord
from oil_storage.errors import UserError
from oil_storage.evaluation.detections_file import CSV_COLUMNS, read_detections
from oil_storage.evaluation.ground_truth import GroundTruth
from oil_storage.evaluation.matching import SceneResult
from oil_storage.inference.stac import item_scene
from oil_storage.scene import CLASS_NAME
from tests.test_bad_input import good
from tests.tf_records import framed

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed; run make install")
st = hypothesis.strategies

TIMES = int(os.environ.get("OIL_STORAGE_FUZZ", "1"))
TOKENS = (
    *(b"nan", b"Infinity", b"-1", b"1e999", b"[[", b"{}", b"null", b"true", b'"', b"<a>", b"&b;", b",", b"\n", b"\0"),
    *(b"\xff\xfe", b"\xc3", b"99999999999999999999", b"1e-320", b"\\u0000", b"[" * 2000),
)
EDITS = st.lists(
    st.tuples(st.integers(0, 9999), st.integers(0, 12), st.sampled_from(TOKENS) | st.binary(max_size=6)),
    min_size=1,
    max_size=6,
)
"""Edits of a file: position, number of bytes to remove, and bytes to insert."""
KEYS = (
    *("type", "features", "geometry", "coordinates", "properties", "crs", "name", "id", "assets", "href", "visual"),
    *("images", "annotations", "categories", "file_name", "width", "height", "bbox", "image_id", "category_id"),
    "score",
)
VALUES = st.sampled_from(
    ("Feature", "FeatureCollection", "Polygon", "MultiPolygon", "EPSG:4326", "a.png", "a", "", "\0")
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | VALUES | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)

RESULT = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 29, 38], "score": 0.5}
RING = [[1, 2], [30, 2], [30, 40], [1, 40], [1, 2]]
FEATURE = {"type": "Feature", "properties": {"score": 0.5}, "geometry": {"type": "Polygon", "coordinates": [RING]}}
DETECTIONS = {
    ".csv": ",".join(CSV_COLUMNS).encode() + b"\na,1,2,30,40,0.5\n",
    ".geojson": json.dumps({"type": "FeatureCollection", "features": [FEATURE]}).encode(),
    ".json": json.dumps([RESULT]).encode(),
    ".txt": b"0 0.5 0.5 0.2 0.3 0.9\n0 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4 0.8\n",
}
"""Good detections by suffix of the file."""


def tried(number: int, **strategies: Any) -> Callable[[Any], Any]:
    """Return a decorator that runs a test for ``number`` examples, the same ones in each run."""
    checks = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]
    settings = hypothesis.settings(
        max_examples=TIMES * number, deadline=None, derandomize=TIMES == 1, database=None, suppress_health_check=checks
    )
    return lambda test: settings(hypothesis.given(**strategies)(test))


def edited(content: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for position, length, new in edits:
        at = position % (len(content) + 1)
        content = content[:at] + new + content[at + length :]
    return content


Sources = dict[str, tuple[Path, Path, bytes]]
"""Folder of a data set, its annotation file and the content of this file, by format."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("fuzzed")
    files = {name: good(folder / name, name) for name in formats.FORMATS}
    return {name: (folder / name / "source", file, file.read_bytes()) for name, file in files.items()}


@pytest.mark.parametrize("name", formats.FORMATS)
@tried(120, edits=EDITS)
def test_damaged_annotations(sources: Sources, name: str, edits: Any) -> None:
    source, file, content = sources[name]
    file.write_bytes(edited(content, edits))
    with suppress(UserError):
        formats.read(source, name)
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["coco", "geojson", "label-studio", "labelme", "supervisely", "xview"])
@tried(120, content=JSON, position=st.integers(0, 200))
def test_other_json_as_annotations(sources: Sources, name: str, content: Any, position: int) -> None:
    source, file, before = sources[name]
    whole = json.loads(before)
    places = list(_places(whole))
    parent, key = places[position % len(places)]
    parent[key] = content
    for damaged in (content, whole):
        file.write_text(json.dumps(damaged))
        with suppress(UserError):
            formats.read(source, name)
    file.write_bytes(before)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or object in JSON content with each of its indices or keys."""
    if isinstance(content, list | dict):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])


@tried(120, records=st.lists(st.binary(max_size=60), max_size=4), edits=EDITS, size=st.integers(0, 2**64 - 1))
def test_damaged_records(tmp_path: Path, records: list[bytes], edits: Any, size: int) -> None:
    content = b"".join(map(framed, records))
    file = tmp_path / "a.record"
    checksum = framed(size.to_bytes(8, "little"))[-4:]
    for damaged in (edited(content, edits), content, content + size.to_bytes(8, "little") + checksum + b"end"):
        file.write_bytes(damaged)
        with suppress(UserError):
            read = list(tfrecord.read_records(file))
            if damaged is content:
                assert read == records


@tried(200, item=JSON)
def test_other_json_as_stac_item(item: Any) -> None:
    with suppress(UserError):
        item_scene(item, "items/a.json")
    if isinstance(item, dict):
        with suppress(UserError):
            item_scene({"type": "Feature", "id": "a", "assets": {}, **item}, "https://example.org/a.json")


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.geojson", "labels/a.txt"])
@tried(120, content=JSON, edits=EDITS)
def test_damaged_detections(tmp_path: Path, name: str, content: Any, edits: Any) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    scene = SceneResult("a", 64, 48, np.array([(1, 2, 30, 40)], np.float32))
    truth = GroundTruth({"a": scene}, {1: "a"}, categories={1: CLASS_NAME}, tanks=frozenset([CLASS_NAME]))
    for bytes_ in (json.dumps(content).encode(), edited(DETECTIONS[file.suffix], edits)):
        file.write_bytes(bytes_)
        with suppress(UserError):
            read_detections(tmp_path if file.suffix == ".txt" else file, truth)


@pytest.mark.slow
@tried(100, edits=EDITS, meta=JSON)
def test_damaged_safetensors(tmp_path: Path, edits: Any, meta: Any) -> None:
    import torch

    from oil_storage.checkpoints.checkpoint import Checkpoint
    from oil_storage.checkpoints.serialization import to_safetensors

    file = tmp_path / "a.safetensors"
    content = to_safetensors({"a": torch.zeros(2)}, {"iter": 1, "cfg": "{}"})
    for damaged in (edited(content, edits), to_safetensors({"a": torch.zeros(2)}, meta)):
        file.write_bytes(damaged)
        with suppress(UserError):
            Checkpoint.read(file)


@pytest.mark.slow
@tried(60, edits=EDITS, meta=JSON)
def test_damaged_onnx_files(tmp_path: Path, edits: Any, meta: Any) -> None:
    import onnx

    from oil_storage.inference.onnx_detector import OnnxDetector
    from oil_storage.inference.onnx_metadata import KEY

    value = onnx.helper.make_tensor_value_info("tiles", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["tiles"], ["boxes"])], "a", [value], [out])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)])
    onnx.helper.set_model_props(model, {KEY: json.dumps(meta)})
    content = model.SerializeToString()
    for damaged in (content, edited(content, edits)):
        (tmp_path / "a.onnx").write_bytes(damaged)
        with pytest.raises(UserError):
            OnnxDetector(tmp_path / "a.onnx")
