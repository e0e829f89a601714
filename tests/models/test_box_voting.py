from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from oil_storage.engine.bf16 import compute_in_bf16
from oil_storage.models import box_voting
from oil_storage.models.box_voting import VotingRetinaSepBNHead, VotingTTAModel, voted
from tests.small_detectors import batch, small_detector

# two that agree (IoU 0.8), and one of another tank
BOXES = torch.tensor([[0.0, 0.0, 9.0, 10.0], [1.0, 0.0, 10.0, 10.0], [30.0, 30.0, 40.0, 40.0]])
SCORES = torch.tensor([0.9, 0.3, 0.5])
MEANS = torch.tensor([[0.25, 0.0, 9.25, 10.0], [0.25, 0.0, 9.25, 10.0], [30.0, 30.0, 40.0, 40.0]])


def test_overlapping_boxes_become_their_score_weighted_mean() -> None:
    torch.testing.assert_close(voted(BOXES, SCORES, 0.6), MEANS)
    torch.testing.assert_close(voted(BOXES, SCORES, 0.9), BOXES)


def test_voting_without_iou_or_boxes_changes_nothing() -> None:
    assert voted(BOXES, SCORES, None) is BOXES
    assert voted(BOXES[:0], SCORES[:0], 0.6).shape == (0, 4)


def test_a_box_without_area_does_not_change() -> None:
    boxes = torch.cat([BOXES, torch.tensor([[5.0, 5.0, 5.0, 5.0]])])
    torch.testing.assert_close(voted(boxes, torch.cat([SCORES, SCORES[:1]]), 0.6), torch.cat([MEANS, boxes[3:]]))


def test_the_result_does_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(300, 2, generator=generator) * 100
    boxes, scores = torch.cat([corners, corners + 20], dim=1), torch.rand(300, generator=generator) + 0.01
    whole = voted(boxes, scores, 0.6)
    assert not torch.equal(whole, boxes)
    monkeypatch.setattr(box_voting, "ROWS", 64)
    torch.testing.assert_close(voted(boxes, scores, 0.6), whole)


@pytest.mark.parametrize(("options", "first"), [({}, BOXES[0]), ({"vote_iou": 0.6}, MEANS[0])])
def test_the_head_applies_voting_before_nms_and_keeps_scores(options: dict[str, float], first: torch.Tensor) -> None:
    anchors = {"type": "AnchorGenerator", "scales": [4], "ratios": [1.0], "strides": [8]}
    head = VotingRetinaSepBNHead(num_classes=1, num_ins=1, in_channels=4, feat_channels=4, anchor_generator=anchors)
    candidates = InstanceData(bboxes=BOXES.clone(), scores=SCORES, labels=torch.zeros(3, dtype=torch.long))
    cfg = ConfigDict(nms={"type": "nms", "iou_threshold": 0.5}, max_per_img=10, **options)
    results = head._bbox_post_process(candidates, cfg, rescale=False, with_nms=True, img_meta={})
    np.testing.assert_allclose(results.scores, [0.9, 0.5])
    torch.testing.assert_close(results.bboxes[0], first)


def test_a_detector_in_bfloat16_votes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(boxes: torch.Tensor, *args: Any) -> torch.Tensor:
        seen.append((boxes.dtype, torch.is_autocast_enabled("cpu")))
        return voted(boxes, *args)

    monkeypatch.setattr(box_voting, "voted", watched)
    model, side = small_detector(Path("configs/oil/ssd_lite0_x15.py"))
    compute_in_bf16(model.eval())
    with torch.no_grad():
        model.test_step(batch((1,), side))
    assert seen == [(torch.float32, False)]  # of 8 bits, a coordinate of 500 px is known to 2 px


@pytest.mark.parametrize(("options", "first"), [({}, BOXES[0]), ({"vote_iou": 0.6}, MEANS[0])])
def test_the_tta_model_applies_voting_to_all_views(options: dict[str, Any], first: torch.Tensor) -> None:
    merged = VotingTTAModel.__new__(VotingTTAModel)
    torch.nn.Module.__init__(merged)
    merged.tta_cfg = ConfigDict(options)
    turned = torch.tensor([[90.0, 90.0, 99.0, 100.0]])  # BOXES[1] on a tile of 100 px
    metas = [{"ori_shape": (100, 100), "flip": flip, "flip_direction": "diagonal"} for flip in (False, True)]
    boxes, scores = merged.merge_aug_bboxes([BOXES[:1], turned], [SCORES[:1], SCORES[1:2]], metas)
    torch.testing.assert_close(boxes[0], first)
    torch.testing.assert_close(scores, SCORES[:2])
