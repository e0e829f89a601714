import numpy as np
import pytest

from oil_storage.evaluation.counting import count_errors, geometry_errors
from oil_storage.evaluation.matching import SceneResult, match_scenes
from tests.scored_scenes import empty, perfect, scored_scenes, with_detections


def test_perfect_detections_have_no_errors() -> None:
    scenes = match_scenes(perfect(scored_scenes()))
    counts, geometry = count_errors(scenes, 0.5), geometry_errors(scenes, 0.5)
    assert (counts["count_mae"], counts["count_bias"], counts["count_r2"]) == (0, 0, 1)
    assert (geometry["iou"], geometry["centre_px"], geometry["diameter_px"]) == pytest.approx((1, 0, 0))
    assert np.isnan(geometry["centre_m"])


def test_scenes_without_tanks_are_counted() -> None:
    scenes = match_scenes(scored_scenes((0, 10), noise=20))
    counts = count_errors(scenes, 0.0)
    wrong = [len(scene.scores) - len(scene.result.truth) for scene in scenes]
    assert counts["count_mae"] == pytest.approx(np.abs(wrong).mean())
    assert counts["count_bias"] == pytest.approx(np.mean(wrong))
    assert wrong[0] == 20


def test_missing_detections_give_count_errors_and_no_geometry() -> None:
    scenes = match_scenes(empty(scored_scenes((10, 30))))
    assert (count_errors(scenes, 0.5)["count_mae"], count_errors(scenes, 0.5)["count_bias"]) == (20, -20)
    assert count_errors(scenes, 0.5)["count_r2"] < 0
    assert np.isnan(geometry_errors(scenes, 0.5)["centre_px"])
    assert np.isnan(count_errors(match_scenes(empty(scored_scenes((5, 5)))), 0.5)["count_r2"])


def test_shift_and_growth_are_given_in_pixels_and_metres() -> None:
    before = SceneResult(
        "a", 500, 500, np.array([[100, 100, 140, 140]], np.float32), np.zeros((0, 4)), np.zeros(0), gsd=1.5
    )
    # 3 px right, 4 px down, 2 px larger in diameter
    moved = with_detections(before, before.truth + np.array([2, 3, 4, 5]), np.ones(1))
    geometry = geometry_errors(match_scenes([moved]), 0.5)
    assert (geometry["centre_px"], geometry["diameter_px"], geometry["diameter_bias_px"]) == pytest.approx((5, 2, 2))
    assert (geometry["centre_m"], geometry["diameter_m"]) == pytest.approx((7.5, 3))
    below = with_detections(before, before.truth + np.array([1, 1, -1, -1]), np.ones(1))
    assert geometry_errors(match_scenes([below]), 0.5)["diameter_bias_px"] == pytest.approx(-2)
    assert np.isnan(geometry_errors(match_scenes([moved]), 1.1)["iou"])
