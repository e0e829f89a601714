"""Training and prediction of small versions of every detector, in all precisions and memory formats."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.models.detectors import SingleStageDetector
from torch import nn

from oil_storage.engine.bf16 import compute_in_bf16
from oil_storage.engine.channels_last import to_channels_last
from oil_storage.inference.torch_detector import fuse_batch_norms
from tests.small_detectors import CONFIGS, batch, small_detector, with_statistics

FAST = ("ssd_lite0",)
"""A one-stage detector; detectors with two stages or queries are slower."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[] if path.stem in FAST else pytest.mark.slow) for path in CONFIGS],
)
def test_small_detector_trains_on_any_number_of_objects_and_predicts(path: Path) -> None:
    model, side = small_detector(path)
    in_bf16 = copy.deepcopy(model)
    compute_in_bf16(in_bf16)
    for precision in (model, in_bf16):
        for objects in ((0, 0), (0, 1, 300)):
            loss, gradients = train_step(precision, objects, side)
            assert gradients
            assert torch.isfinite(loss)
            assert all(torch.isfinite(gradient).all() for gradient in gradients)
    check_channels_last(model, side)
    check_predictions(model, side)
    check_folded_batch_norms(model, side)


def train_step(model: nn.Module, objects: tuple[int, ...], side: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return loss and gradients on tiles with the given numbers of objects."""
    model.train()
    torch.manual_seed(1)
    loss, _ = model.parse_losses(model(**model.data_preprocessor(batch(objects, side), True), mode="loss"))
    model.zero_grad()
    loss.backward()
    return loss, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def check_channels_last(model: nn.Module, side: int) -> None:
    """Channels last changes neither loss nor gradients."""
    if hasattr(model, "roi_head"):  # with all proposals, because rounding decides which of two equal ones is kept
        model = copy.deepcopy(model)
        model.train_cfg.rpn_proposal.update(nms_pre=-1, max_per_img=10_000, nms={"type": "nms", "iou_threshold": 1.0})
        samplers = model.roi_head.bbox_sampler
        for sampler in samplers if isinstance(samplers, list) else [samplers]:
            sampler.num = 20_000
    fast = copy.deepcopy(model)
    to_channels_last(fast)
    figures = []
    for detector in (model, fast):
        loss, gradients = train_step(detector, (5, 20), side)
        figures.append([loss.item(), float(torch.stack([gradient.norm() for gradient in gradients]).norm())])
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)


def check_predictions(model: nn.Module, side: int) -> None:
    """Boxes are inside the tile, and scores are between 0 and 1."""
    model.eval()
    with torch.no_grad():
        (sample,) = model.test_step(batch((3,), side))
    detections = sample.pred_instances
    assert detections.bboxes.shape == (len(detections.scores), 4)
    assert torch.isfinite(detections.bboxes).all()
    assert ((detections.bboxes >= 0) & (detections.bboxes <= side)).all()
    assert ((detections.scores >= 0) & (detections.scores <= 1)).all()


def check_folded_batch_norms(model: nn.Module, side: int) -> None:
    """Folding batch norms into convolutions does not change the output. ``model`` is changed."""
    with_statistics(model)
    fused = copy.deepcopy(model)
    number = fuse_batch_norms(fused)
    assert number > 0 or not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    inputs = model.data_preprocessor(batch((3,), side), False)
    with torch.no_grad():
        features, folded = (detector.extract_feat(inputs["inputs"]) for detector in (model, fused))
        torch.testing.assert_close(folded, features, rtol=1e-3, atol=1e-4)
        if isinstance(model, SingleStageDetector):
            torch.testing.assert_close(fused.bbox_head(features), model.bbox_head(features), rtol=1e-3, atol=1e-4)
