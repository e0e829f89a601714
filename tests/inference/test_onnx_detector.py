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


def decided(path: Path) -> tuple[nn.Module, int]:
    """A small detector whose scores differ, as a trained one's do, so that NMS chooses alike; and a tile's side."""
    model, side = small_detector(path)
    with_statistics(model)
    layers = [
        module
        for name, module in model.bbox_head.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        and re.search("cls|obj", name)
        and module.weight.shape[0] < 64  # the last
    ]
    if isinstance(model, DetectionTransformer):
        return model, side  # nothing chooses there
    raw = RawDetector(model, (side, side))
    pixels = torch.stack(batch((3,), side)["inputs"]).float()
    for _ in range(8):
        with torch.no_grad():
            scores = raw(pixels)[1].double().clamp(1e-9, 1 - 1e-6)
            logits = (scores / (1 - scores)).log()
            for layer in layers:
                layer.weight *= float((2 / logits.std()).clamp(0.01, 100))
                layer.bias -= float(logits.median()) / 2  # YOLOX has two that count
    return model, side


def agreeing(found: DetDataSample, other: DetDataSample) -> float:
    """Share of detections that another model has within 0.5 px and a score of 0.001."""
    one, two = found.pred_instances, other.pred_instances
    boxes = (one.bboxes[:, None] - two.bboxes[None]).abs().amax(dim=2) <= 0.5
    scores = (one.scores[:, None] - two.scores[None]).abs() <= 1e-3
    return float((boxes & scores).any(dim=1).float().mean())


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem == "ssd_lite0" else pytest.mark.slow)
        for path in CONFIGS
        if path.stem not in REFUSED
    ],
)
def test_exported_detector_computes_the_same_of_any_number_of_tiles(path: Path, tmp_path: Path) -> None:
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
        theirs = exported.session.run(None, {"tiles": tiles.numpy()})
        assert len(boxes) == len(objects)
        assert boxes.std() > 1
        same = (np.abs(theirs[0] - boxes.numpy()).max(axis=2) <= 0.5) & (np.abs(theirs[1] - scores.numpy()) <= 1e-3)
        assert same.mean() >= 0.99  # equal proposals of a first stage may change places


# a kind of head each
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ssd_lite0", "ssd_lite0_x15", "ssd512_vgg16", "rtmdet_lite0", "yolox_s", "dino_r50", "detr_r50"]
)
def test_exported_detector_chooses_boxes_as_mmdet_does(name: str, tmp_path: Path) -> None:
    model, side = decided(Path(f"configs/oil/{name}.py"))
    (tmp_path / "a.onnx").write_bytes(export(model, (side, side), {}))
    with torch.no_grad():
        (wanted,) = model.test_step(batch((3,), side))
    (found,) = OnnxModel(tmp_path / "a.onnx", torch.device("cpu")).test_step(batch((3,), side))
    assert len(wanted.pred_instances) > 20
    assert agreeing(wanted, found) >= 0.99
    assert agreeing(found, wanted) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_detector_with_nms_inside_is_refused(name: str) -> None:
    (path,) = (path for path in CONFIGS if path.stem == name)
    model, side = small_detector(path)
    with pytest.raises(UserError, match="cannot be exported: it has NMS inside"):
        export(model.eval(), (side, side), {})


def test_file_of_another_exporter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"a\.onnx: no detector that tools/export\.py CONFIG CHECKPOINT wrote"):
        OnnxModel(path, torch.device("cpu"))


@pytest.mark.slow
def test_a_tile_that_is_smaller_is_filled_up_as_mmdet_does(tmp_path: Path) -> None:
    (path,) = (path for path in CONFIGS if path.stem == "ssd_lite0")
    model, side = decided(path)
    (tmp_path / "a.onnx").write_bytes(export(model, (side, side), {}))
    small, padded = batch((1,), side // 2), batch((1,), side)
    fill = OnnxModel(tmp_path / "a.onnx", torch.device("cpu")).about.padding
    padded["inputs"][0][:] = torch.tensor(fill).round().to(torch.uint8).flip(0)[:, None, None]
    padded["inputs"][0][:, : side // 2, : side // 2] = small["inputs"][0]
    with torch.no_grad():
        (wanted,) = model.test_step(padded)
    (found,) = OnnxModel(tmp_path / "a.onnx", torch.device("cpu")).test_step(small)
    inside = (wanted.pred_instances.bboxes < side / 2 - 1).all(dim=1)
    assert inside.sum() > 5
    best = wanted.pred_instances.scores[inside][:5].numpy()
    assert np.isin(best.round(3), found.pred_instances.scores.numpy().round(3)).mean() >= 0.8
