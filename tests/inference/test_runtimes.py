import json
import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from oil_storage import processor
from oil_storage.errors import UserError
from oil_storage.inference import runtimes
from oil_storage.inference.candidates import Rules
from oil_storage.inference.onnx_export import export
from oil_storage.inference.onnx_metadata import KEY, Metadata
from oil_storage.inference.runtimes import OnnxRuntime, OpenVino, choose
from oil_storage.inference.tile_detector import Description
from tests.small_detectors import small_detector, with_statistics

ABOUT = Metadata(
    tile=64,
    batch_size=1,
    test_cfg=Rules(),
    size=(64, 64),
    padding=(0.0, 0.0, 0.0),
    clips=True,
    levels=[],
    checkpoint_sha256="abc",
)


def write(path: Path, about: Metadata) -> Path:
    """Write an ONNX file that has only metadata."""
    import onnx

    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, {"other": "1", KEY: json.dumps(asdict(about))})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a detector with an 8-bit version that suits ONNX Runtime with VNNI, on such a processor."""
    monkeypatch.setattr(processor, "kind", lambda: "vnni")
    write(tmp_path / "a.int8.onnx", replace(ABOUT, int8_for=["onnx/vnni"]))
    return write(tmp_path / "a.onnx", ABOUT)


def test_8_bits_are_the_default_only_where_they_were_better(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = exported.with_suffix(".int8.onnx")
    assert choose(exported, "onnx") == choose(*choose(exported, "onnx")) == (small, "onnx")
    assert choose(exported, "openvino") == (exported, "openvino")
    assert choose(exported, "openvino", "int8") == choose(small, "openvino", "int8") == (small, "openvino")
    assert choose(exported, "onnx", "float32") == (exported, "onnx")
    monkeypatch.setattr(processor, "kind", lambda: "avx2")
    assert choose(exported, "onnx") == (exported, "onnx")
    with pytest.raises(UserError, match=r"a\.int8\.onnx: computes in 8 bits; give a\.onnx"):
        choose(small, "onnx", "float32")


@pytest.mark.parametrize("is_missing", [True, False])
def test_8_bit_version_of_other_weights_is_not_used(exported: Path, is_missing: bool) -> None:
    small = exported.with_suffix(".int8.onnx")
    if is_missing:
        small.unlink()
    else:
        write(small, replace(ABOUT, int8_for=["onnx/vnni"], checkpoint_sha256="other"))
    assert choose(exported, "onnx") == (exported, "onnx")
    with pytest.raises(UserError, match=r"is not the 8-bit version of a\.onnx"):
        choose(exported, "onnx", "int8")


def test_fastest_installed_backend_is_the_default(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for spec, backend in ((None, "onnx"), (object(), "openvino")):
        monkeypatch.setattr(runtimes, "find_spec", lambda _, spec=spec: spec)
        assert choose(exported)[1] == backend
    assert choose(Path("a.pth")) == (Path("a.pth"), "torch")


@pytest.mark.parametrize(
    ("name", "backend", "precision", "message"),
    [
        ("a.pth", "onnx", "auto", "--backend onnx needs an exported detector; run oil-storage export CONFIG a.pth"),
        ("a.safetensors", None, "int8", "only exported detectors compute in 8 bits"),
        ("a.onnx", "torch", "auto", "--backend torch needs a checkpoint"),
    ],
)
def test_backend_that_cannot_run_the_file_is_refused(
    name: str, backend: str | None, precision: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        choose(Path(name), backend, precision)


def test_openvino_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"--backend openvino: .*; run: pip install openvino"):
        OpenVino(Path("a.onnx"), (64, 64))


@pytest.mark.skipif(find_spec("openvino") is None, reason="the extra `openvino` is not installed")
def test_openvino_equals_onnx_runtime(tmp_path: Path) -> None:
    model, side = small_detector(Path("configs/oil/ssd_lite0.py"))
    content, about = export(with_statistics(model), Description(tile=side, batch_size=1, test_cfg=Rules()))
    (tmp_path / "a.onnx").write_bytes(content)
    tiles = np.random.default_rng(0).uniform(0, 255, (2, 3, side, side)).astype(np.float32)
    boxes, scores = OnnxRuntime(tmp_path / "a.onnx", "cpu")(tiles)
    other_boxes, other_scores = OpenVino(tmp_path / "a.onnx", about.size)(tiles)
    np.testing.assert_allclose(other_boxes, boxes, atol=1e-3)
    np.testing.assert_allclose(other_scores, scores, atol=1e-4)
