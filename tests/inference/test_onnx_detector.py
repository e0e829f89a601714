from pathlib import Path

import numpy as np
import pytest
import torch

from oil_storage.errors import UserError
from oil_storage.inference.candidates import Rules
from oil_storage.inference.onnx_detector import OnnxDetector, resized_size
from oil_storage.inference.onnx_export import export
from oil_storage.inference.tile_detector import Description
from oil_storage.inference.torch_detector import for_arrays
from tests.small_detectors import batch, small_detector, with_statistics

RULES = Rules(max_per_img=30)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[OnnxDetector, torch.nn.Module]:
    """Return a small detector for tiles of 64 px, which are magnified twice, in ONNX Runtime and in PyTorch."""
    model, _ = small_detector(Path("configs/oil/ssd_lite0.py"))
    with_statistics(model)
    content, _ = export(model, Description(tile=64, batch_size=2, test_cfg=RULES), resize=2.0)
    path = tmp_path_factory.mktemp("onnx") / "a.onnx"
    path.write_bytes(content)
    return OnnxDetector(path, "cpu"), model


def test_file_that_was_not_exported_here_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"a\.onnx: not a detector that tools/export\.py wrote"):
        OnnxDetector(path)


def test_cuda_is_refused_where_onnx_runtime_lacks_it(exported: tuple[OnnxDetector, torch.nn.Module]) -> None:
    with pytest.raises(UserError, match="built without CUDA; give --device cpu"):
        OnnxDetector(exported[0].path, "cuda")


@pytest.mark.parametrize("resize", [1.0, 1.5, 1.8, (96, 80)])
def test_tiles_are_resized_as_in_the_test_pipeline(
    resize: float | tuple[int, int], exported: tuple[OnnxDetector, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {"scale": resize} if isinstance(resize, tuple) else {"scale_factor": resize, "keep_ratio": True}
    transform = for_arrays([{}, {"type": "Resize", **step}])
    about = type("About", (), {"resize": resize, "size": (400, 400), "tile": 200})
    monkeypatch.setattr(exported[0], "about", about)
    random = np.random.default_rng(0)
    for width, height in ((64, 64), (37, 200), (200, 3), (1, 1)):
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        expected = transform({"img": pixels[..., ::-1]})["img"]
        np.testing.assert_array_equal(exported[0].prepare(pixels).content, expected[..., ::-1])


def test_resized_size_rounds_like_mmdet() -> None:
    resize = for_arrays([{}, {"type": "Resize", "scale_factor": 1.5, "keep_ratio": True}])
    for width in range(1, 60):
        expected = resize({"img": np.zeros((31, width, 3), np.uint8)})["img"].shape[1::-1]
        assert resized_size((width, 31), 1.5) == expected


def test_smaller_tile_is_padded_and_boxes_are_clipped_to_it(exported: tuple[OnnxDetector, torch.nn.Module]) -> None:
    detector, _ = exported
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    whole = np.empty((64, 64, 3), np.uint8)
    whole[:] = np.round(detector.about.padding)
    whole[:, :48] = pixels
    small, padded = detector.detect([detector.prepare(pixels), detector.prepare(whole)])
    assert len(small.boxes) == 30
    assert small.boxes[:, 2].max() <= 48
    inside = padded.boxes[:, 2] < 40  # resizing mixes the pixels at the border of the padding
    near = np.abs(padded.boxes[inside][:, None] - small.boxes[None]).max(axis=2).min(axis=1)
    assert inside.sum() > 5
    assert np.median(near) < 0.5


def test_tile_that_is_larger_than_the_exported_size_is_refused(
    exported: tuple[OnnxDetector, torch.nn.Module],
) -> None:
    with pytest.raises(UserError, match="takes tiles of at most 64 px; give a smaller --tile"):
        exported[0].prepare(np.zeros((64, 65, 3), np.uint8))


def test_padding_has_the_colour_with_which_mmdet_pads(exported: tuple[OnnxDetector, torch.nn.Module]) -> None:
    detector, model = exported
    data = batch((1, 1), 64)
    data["inputs"][0] = data["inputs"][0][:, :32]
    mean, std = (model.data_preprocessor.mean, model.data_preprocessor.std)
    pixels = model.data_preprocessor(data, False)["inputs"][0] * std + mean
    np.testing.assert_allclose(pixels[:, 40:].mean(dim=(1, 2)), detector.about.padding, atol=1e-3)
