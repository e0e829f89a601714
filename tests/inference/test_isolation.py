"""Isolated detections have lower scores than detections in groups."""

import numpy as np
import pytest

from oil_storage.inference.isolation import NEAR, lower_isolated
from oil_storage.merging import Detections

SIZE = (1000.0, 1000.0)


def at(*points: tuple[float, float], scores: tuple[float, ...]) -> Detections:
    centres = np.array(points, np.float32)
    return Detections(np.hstack([centres - 8, centres + 8]), np.array(scores, np.float32))


def test_scores_of_isolated_detections_fall() -> None:
    boxes, scores = lower_isolated(at((100, 500), (700, 500), (760, 500), scores=(0.7, 0.6, 0.6)), SIZE, 1.0)
    assert scores[:2] == pytest.approx([0.6, 0.6])  # they support each other
    assert 0.4 < scores[2] < 0.6
    assert boxes[2].tolist() == [92, 492, 108, 508]


def test_the_distance_is_in_metres() -> None:
    pair = at((400, 500), (400 + NEAR * 0.9, 500), scores=(0.6, 0.6))
    assert lower_isolated(pair, SIZE, 1.0).scores == pytest.approx([0.6, 0.6])
    assert (lower_isolated(pair, SIZE, 2.0).scores < 0.5).all()


def test_a_small_image_hides_its_neighbours() -> None:
    alone = at((30, 30), scores=(0.6,))
    assert lower_isolated(alone, (60.0, 60.0), 1.0).scores[0] > 0.59
    assert lower_isolated(at((500, 500), scores=(0.6,)), SIZE, 1.0).scores[0] == pytest.approx(0.3556, abs=1e-3)


def test_weak_detections_support_nothing() -> None:
    weak = at((500, 500), (540, 500), scores=(0.6, 0.29))
    assert lower_isolated(weak, SIZE, 1.0).scores[0] == pytest.approx(0.3556, abs=1e-3)


def test_unknown_resolution_and_no_detection_change_nothing() -> None:
    alone = at((500, 500), scores=(0.6,))
    assert lower_isolated(alone, SIZE, None) is alone
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert len(lower_isolated(empty, SIZE, 1.0).scores) == 0


def test_scores_of_0_and_1_stay() -> None:
    lowered = lower_isolated(at((100, 500), (800, 500), scores=(1.0, 0.0)), SIZE, 1.0)
    assert lowered.scores.tolist() == [1.0, 0.0]
