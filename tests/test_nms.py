import numpy as np
import pytest
import torch
from mmcv.ops import nms as mmcv_nms

from oil_storage import nms as module
from oil_storage.models.box_voting import voted as torch_voted
from oil_storage.nms import nms, voted

Case = tuple[np.ndarray, np.ndarray]


def scattered(number: int, side: float, seed: int = 0) -> Case:
    """Return random boxes in a tile of 960 px, and their scores."""
    random = np.random.default_rng(seed)
    corners, sides = random.uniform(0, 960, (number, 2)), random.uniform(1, side, (number, 2))
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32), scores_of(number, random)


def scores_of(number: int, random: np.random.Generator) -> np.ndarray:
    return (random.permutation(number) + 1).astype(np.float32) / np.float32(number + 1)


def dense(tanks: int = 900, candidates: int = 4) -> Case:
    """Return several noisy boxes around each of many tanks that stand in rows, and their scores."""
    random = np.random.default_rng(1)
    at = np.arange(tanks)
    centres = np.stack([at % 30, at // 30], axis=1) * 32.0 + 16
    centres = np.repeat(centres, candidates, axis=0) + random.normal(0, 2, (tanks * candidates, 2))
    sides = random.uniform(16, 28, (tanks * candidates, 1))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)
    return boxes, scores_of(len(boxes), random)


CASES = {
    "scattered": scattered(2000, 40),
    "wide": scattered(500, 900),
    "dense": dense(),
    "one": scattered(1, 40),
    "none": scattered(0, 40),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("iou_threshold", [0.0, 0.2, 0.5, 0.7])
def test_nms_equals_mmcv(name: str, iou_threshold: float) -> None:
    boxes, scores = CASES[name]
    expected, indices = mmcv_nms(torch.tensor(boxes), torch.tensor(scores), iou_threshold)
    kept = nms(boxes, scores, iou_threshold)
    np.testing.assert_array_equal(kept, indices.numpy())
    np.testing.assert_allclose(boxes[kept], expected[:, :4].numpy().reshape(-1, 4), atol=1e-4)
    assert len(kept) < len(boxes) or len(boxes) < 2


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("least_iou", [0.3, 0.6, None])
def test_voting_equals_that_of_the_model(name: str, least_iou: float | None) -> None:
    boxes, scores = CASES[name]
    result = voted(boxes, scores, least_iou)
    assert result.dtype == np.float32
    expected = torch_voted(torch.tensor(boxes), torch.tensor(scores), least_iou).numpy()
    np.testing.assert_allclose(result, expected, atol=2e-3)  # torch sums in float32


def test_a_box_that_overlaps_no_other_does_not_change() -> None:
    boxes, scores = scattered(40, 20)
    boxes += 1000 * np.arange(40, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(voted(boxes, scores, 0.6), boxes)
    assert sorted(nms(boxes, scores, 0.5)) == list(range(40))


@pytest.mark.filterwarnings("error")
def test_boxes_that_are_not_finite_or_without_area_neither_vote_nor_suppress() -> None:
    boxes, scores = scattered(3, 40)
    nan, inf = np.nan, np.inf
    odd = np.array([[nan, 0, 9, 9], [0, 0, inf, inf], [5, 5, 5, 5], [9, 9, 0, 0]], np.float32)
    every, all_scores = np.concatenate([boxes, odd]), np.concatenate([scores, np.full(4, 0.99, np.float32)])
    assert set(range(3, 7)) <= set(nms(every, all_scores, 0.5))
    np.testing.assert_array_equal(nms(every, all_scores, 0.5)[4:], nms(boxes, scores, 0.5))
    np.testing.assert_array_equal(voted(every, all_scores, 0.5), np.concatenate([voted(boxes, scores, 0.5), odd]))


def test_the_result_does_not_depend_on_the_number_of_pairs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, scores = CASES["wide"]
    kept, means = nms(boxes, scores, 0.3), voted(boxes, scores, 0.3)
    monkeypatch.setattr(module, "PAIRS", 100)
    np.testing.assert_array_equal(nms(boxes, scores, 0.3), kept)
    np.testing.assert_allclose(voted(boxes, scores, 0.3), means, atol=1e-4)


def test_equal_scores_keep_their_order() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert nms(boxes, np.full(3, 0.5, np.float32), 0.5).tolist() == [0, 2]
