import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.structures import DetDataSample
from torch import nn

from oil_storage.errors import UserError
from oil_storage.inference.onnx_detector import OnnxModel, RawDetector, export
from tests.small_detectors import CONFIGS, batch, small_detector, with_statistics

REFUSED = {"faster_rcnn_r50", "faster_rcnn_r101", "cascade_rcnn_r50", "ddq_detr_r50"}


def detector_with_spread_scores(path: Path) -> tuple[nn.Module, int]:
    """Return a small detector and its tile size.

    The scores differ as those of a trained detector do, so that NMS is stable.
    """
    model, side = small_detector(path)
    with_statistics(model)
    layers = [
        module
        for name, module in model.bbox_head.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        and re.search("cls|obj", name)
        and module.weight.shape[0] < 64  # the last layers
    ]
    if isinstance(model, DetectionTransformer):
        return model, side  # it runs no NMS
    raw = RawDetector(model, (side, side))
    pixels = torch.stack(batch((3,), side)["inputs"]).float()
    for _ in range(8):
        with torch.no_grad():
            scores = raw(pixels)[1].double().clamp(1e-9, 1 - 1e-6)
            logits = (scores / (1 - scores)).log()
            for layer in layers:
                layer.weight *= float((2 / logits.std()).clamp(0.01, 100))
                layer.bias -= float(logits.median()) / 2  # YOLOX multiplies two scores
    return model, side


def agreement(sample: DetDataSample, other: DetDataSample) -> float:
    """Return the share of detections that the other sample also has: box within 0.5 px, score within 0.001."""
    first, second = sample.pred_instances, other.pred_instances
    boxes = (first.bboxes[:, None] - second.bboxes[None]).abs().amax(dim=2) <= 0.5
    scores = (first.scores[:, None] - second.scores[None]).abs() <= 1e-3
    return float((boxes & scores).any(dim=1).float().mean())


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem == "ssd_lite0" else pytest.mark.slow)
        for path in CONFIGS
        if path.stem not in REFUSED
    ],
)
def test_exported_detector_equals_pytorch_for_any_number_of_tiles(path: Path, tmp_path: Path) -> None:
    model, side = small_detector(path)
    with_statistics(model)
    (tmp_path / "a.onnx").write_bytes(export(model, (side, side), {"score_threshold": 0.25}))
    exported = OnnxModel(tmp_path / "a.onnx", torch.device("cpu"))
    assert exported.about.score_threshold == 0.25
    raw = RawDetector(model, (side, side))
    for objects in ((3,), (3, 0, 7)):
        tiles = torch.stack(batch(objects, side)["inputs"]).float()
        with torch.no_grad():
            boxes, scores = raw(tiles)
        exported_output = exported.session.run(None, {"tiles": tiles.numpy()})
        assert len(boxes) == len(objects)
        assert boxes.std() > 1
        same = (np.abs(exported_output[0] - boxes.numpy()).max(axis=2) <= 0.5) & (
            np.abs(exported_output[1] - scores.numpy()) <= 1e-3
        )
        assert same.mean() >= 0.99  # equal proposals of the first stage may swap


# one config for each kind of head
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ssd_lite0", "ssd_lite0_x15", "ssd512_vgg16", "rtmdet_lite0", "yolox_s", "dino_r50", "detr_r50"]
)
def test_exported_detector_selects_the_same_boxes_as_mmdet(name: str, tmp_path: Path) -> None:
    model, side = detector_with_spread_scores(Path(f"configs/oil/{name}.py"))
    (tmp_path / "a.onnx").write_bytes(export(model, (side, side), {}))
    with torch.no_grad():
        (expected,) = model.test_step(batch((3,), side))
    (sample,) = OnnxModel(tmp_path / "a.onnx", torch.device("cpu")).test_step(batch((3,), side))
    assert len(expected.pred_instances) > 20
    assert agreement(expected, sample) >= 0.99
    assert agreement(sample, expected) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_export_refuses_a_detector_with_nms_inside_the_network(name: str) -> None:
    (path,) = (path for path in CONFIGS if path.stem == name)
    model, side = small_detector(path)
    with pytest.raises(UserError, match="runs NMS inside the network"):
        export(model.eval(), (side, side), {})


def test_onnx_model_refuses_a_file_that_was_not_exported_here(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"a\.onnx: not a detector that tools/export\.py wrote"):
        OnnxModel(path, torch.device("cpu"))


@pytest.mark.slow
def test_smaller_tile_is_padded_as_mmdet_pads_it(tmp_path: Path) -> None:
    (path,) = (path for path in CONFIGS if path.stem == "ssd_lite0")
    model, side = detector_with_spread_scores(path)
    (tmp_path / "a.onnx").write_bytes(export(model, (side, side), {}))
    small, padded = batch((1,), side // 2), batch((1,), side)
    fill = OnnxModel(tmp_path / "a.onnx", torch.device("cpu")).about.padding
    padded["inputs"][0][:] = torch.tensor(fill).round().to(torch.uint8).flip(0)[:, None, None]
    padded["inputs"][0][:, : side // 2, : side // 2] = small["inputs"][0]
    with torch.no_grad():
        (expected,) = model.test_step(padded)
    (sample,) = OnnxModel(tmp_path / "a.onnx", torch.device("cpu")).test_step(small)
    inside = (expected.pred_instances.bboxes < side / 2 - 1).all(dim=1)
    assert inside.sum() > 5
    best = expected.pred_instances.scores[inside][:5].numpy()
    assert np.isin(best.round(3), sample.pred_instances.scores.numpy().round(3)).mean() >= 0.8
