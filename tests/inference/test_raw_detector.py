import re
from pathlib import Path

import pytest
import torch
from mmdet.models.detectors.base_detr import DetectionTransformer
from torch import nn

from oil_storage.errors import UserError
from oil_storage.inference.candidates import select
from oil_storage.inference.raw_detector import RawDetector
from oil_storage.inference.torch_detector import rules_of
from oil_storage.merging import Detections
from tests.small_detectors import CONFIGS, batch, share_found, small_detector, with_statistics

TIED = ("efficientdet_d0", "rtmdet_m")
"""Detectors for which random weights give many equal scores; NMS may then select others of the equal candidates."""
FAST = ("ssd_lite0", "faster_rcnn_r50")


def detector_with_spread_scores(path: Path) -> tuple[nn.Module, int]:
    """Return a small detector and its tile size.

    The scores differ as those of a trained detector do, so that NMS is stable.
    """
    model, side = small_detector(path)
    with_statistics(model)
    if not hasattr(model, "bbox_head") or isinstance(model, DetectionTransformer):
        return model, side  # few candidates, whose scores differ, or no NMS
    layers = [
        module
        for name, module in model.bbox_head.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        and re.search("cls|obj", name)
        and module.weight.shape[0] < 64  # the last layers
    ]
    raw = RawDetector(model)
    pixels = torch.stack(batch((3,), side)["inputs"]).float()
    for _ in range(8):
        with torch.no_grad():
            scores = raw(pixels)[1].double().clamp(1e-9, 1 - 1e-6)
            logits = (scores / (1 - scores)).log()
            for layer in layers:
                layer.weight *= float((2 / logits.std()).clamp(0.01, 100))
                layer.bias -= float(logits.median()) / 2  # YOLOX multiplies two scores
    return model, side


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[] if path.stem in FAST else pytest.mark.slow) for path in CONFIGS]
)
def test_candidates_after_selection_are_the_detections_of_mmdet(path: Path) -> None:
    model, side = detector_with_spread_scores(path)
    raw, rules = RawDetector(model), rules_of(model.test_cfg or {})
    with torch.no_grad():
        expected = model.test_step(batch((3, 0), side))
        data = model.data_preprocessor(batch((3, 0), side), False)
        boxes, scores = raw.predict(data["inputs"], data["data_samples"])
        tiles = torch.stack(batch((3, 0), side)["inputs"]).flip(1).float()  # RGB
        for exported, value in zip(raw(tiles), (boxes, scores), strict=True):
            torch.testing.assert_close(exported, value, atol=1e-3, rtol=0)
    assert min(len(sample.pred_instances) for sample in expected) > 20
    for sample, candidates in zip(expected, zip(boxes.numpy(), scores.numpy(), strict=True), strict=True):
        selected = select(Detections(*candidates), rules, raw.levels)
        detected = sample.pred_instances.bboxes.numpy(), sample.pred_instances.scores.numpy()
        if path.stem in TIED:
            assert share_found(*detected, *candidates) >= 0.99
        else:
            assert len(selected.scores) == pytest.approx(len(detected[1]), rel=0.01)
            assert share_found(*detected, *selected) >= 0.99


def test_other_detectors_are_refused() -> None:
    with pytest.raises(UserError, match="Linear: detection in scenes does not support this type of detector"):
        RawDetector(torch.nn.Linear(1, 1))
