import numpy as np
import pytest

from oil_storage.inference.candidates import Rules, Suppression, select
from oil_storage.merging import Detections

# two around one tank (IoU 0.8), and one around another
BOXES = np.array([[0, 0, 9, 10], [1, 0, 10, 10], [30, 30, 40, 40]], np.float32)
CANDIDATES = Detections(BOXES, np.array([0.3, 0.9, 0.5], np.float32))
NMS = Suppression(0.5)


@pytest.mark.parametrize(
    ("rules", "levels", "scores"),
    [
        (Rules(), [], [0.9, 0.5, 0.3]),
        (Rules(nms=NMS), [], [0.9, 0.5]),
        (Rules(score_thr=0.5), [], [0.9]),  # lower scores and the threshold itself are dropped
        (Rules(max_per_img=1, nms=NMS), [], [0.9]),
        (Rules(nms_pre=1), [], [0.9]),
        (Rules(nms_pre=1), [2, 1], [0.9, 0.5]),
        (Rules(nms_pre=1), [1, 2], [0.9, 0.3]),
        (Rules(nms_pre=1), [0, 3], [0.9]),
        (Rules(min_bbox_size=9.5), [], [0.5]),
    ],
)
def test_rules_decide_which_candidates_are_detections(rules: Rules, levels: list[int], scores: list[float]) -> None:
    selected = select(CANDIDATES, rules, levels)
    np.testing.assert_array_equal(selected.scores, np.array(scores, np.float32))
    of = dict(zip(CANDIDATES.scores.tolist(), BOXES.tolist(), strict=True))
    assert selected.boxes.tolist() == [of[score] for score in selected.scores.tolist()]


def test_boxes_are_clipped_voted_and_converted_to_pixels_of_the_tile() -> None:
    selected = select(CANDIDATES, Rules(nms=NMS, vote_iou=0.6), scale=(2.0, 4.0), limits=(36, 60))
    np.testing.assert_allclose(selected.boxes, [[0.375, 0, 4.875, 2.5], [15, 7.5, 18, 10]])
    assert selected.boxes.dtype == np.float32


def test_no_candidates_give_no_detections() -> None:
    selected = select(Detections(BOXES[:0], CANDIDATES.scores[:0]), Rules(nms=NMS, vote_iou=0.6, min_bbox_size=0))
    assert selected.boxes.shape == (0, 4)
    assert selected.scores.shape == (0,)
