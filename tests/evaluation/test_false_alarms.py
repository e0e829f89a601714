from dataclasses import replace

import numpy as np
import pytest

from oil_storage.evaluation.false_alarms import false_alarm_rate, free_response, ground_area, operating_points
from oil_storage.evaluation.matching import Matched, SceneResult, match_scenes

SIDE = 10_000
"""Pixels; at 1 m per pixel a scene has 100 square kilometres."""


def scene(name: str, right: list[float], false: list[float], missed: int = 0, gsd: float | None = 1.0) -> SceneResult:
    """Return a scene with correct detections and false alarms of the given scores."""
    number = len(right) + missed
    truth = np.array([(100 * i, 0, 100 * i + 20, 20) for i in range(number)], np.float32).reshape(-1, 4)
    alarms = np.array([(100 * i, 500, 100 * i + 20, 520) for i in range(len(false))], np.float32).reshape(-1, 4)
    boxes = np.concatenate([truth[: len(right)], alarms])
    return SceneResult(name, SIDE, SIDE, truth, boxes, np.array([*right, *false], np.float32), gsd=gsd)


@pytest.fixture
def scenes() -> list[Matched]:
    alarms = [0.95, *np.linspace(0.5, 0.1, 30)]
    return match_scenes([scene("a", [0.9, 0.6, 0.3], alarms, missed=1), scene("b", [0.7], [])])


def test_rate_counts_false_alarms_per_100_square_kilometres(scenes: list[Matched]) -> None:
    assert ground_area(scenes) == pytest.approx(200)
    assert false_alarm_rate(scenes, 0.9) == pytest.approx(0.5)
    assert false_alarm_rate(scenes, 0.0) == pytest.approx(15.5)


def test_operating_points_allow_the_given_number_of_false_alarms(scenes: list[Matched]) -> None:
    points = operating_points(scenes)
    assert list(points) == ["100", "10", "1"]
    assert points["100"].threshold == 0
    assert points["100"].recall == pytest.approx(4 / 5)
    for rate in ("10", "1"):
        lower = float(np.nextafter(np.float32(points[rate].threshold), np.float32(0)))
        assert false_alarm_rate(scenes, points[rate].threshold) <= float(rate)
        assert false_alarm_rate(scenes, lower) > float(rate)
    assert points["1"].recall == pytest.approx(3 / 5)


def test_rate_that_no_threshold_reaches_is_left_out() -> None:
    points = operating_points(match_scenes([scene("a", [0.5], [1.0] * 5)]))
    assert list(points) == ["100", "10"]
    assert all(0 <= point.threshold <= 1 for point in points.values())


def test_curve_rises_to_the_recall_and_rate_of_all_detections(scenes: list[Matched]) -> None:
    response = free_response(scenes)
    assert response is not None
    alarms, recall = response
    assert (np.diff(alarms) >= 0).all()
    assert (np.diff(recall) >= 0).all()
    assert (alarms[-1], recall[-1]) == pytest.approx((15.5, 4 / 5))


def test_unknown_resolution_of_a_scene_gives_no_figures(scenes: list[Matched]) -> None:
    unknown = [scenes[0], Matched(replace(scenes[1].result, gsd=None))]
    assert ground_area(unknown) is None
    assert false_alarm_rate(unknown, 0.5) is None
    assert operating_points(unknown) == {}
    assert free_response(unknown) is None
