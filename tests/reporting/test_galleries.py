import csv
import io

import numpy as np
import pytest

from oil_storage.evaluation.matching import Matched, match_scenes
from oil_storage.evaluation.scene_result import SceneResult
from oil_storage.reporting.galleries import false_positives, loosest, misses, suspect_labels
from tests.scored_scenes import perfect, scored_scenes

TRUTH = np.array([[10, 10, 30, 30], [100, 100, 140, 140], [200, 10, 210, 20]], np.float32)
BOXES = np.array([[12, 10, 32, 30], [300, 300, 320, 320], [330, 300, 350, 320], [100, 100, 140, 140]], np.float32)


@pytest.fixture
def scene() -> list[Matched]:
    return [Matched(SceneResult("one", 400, 400, TRUTH, BOXES, np.array([0.9, 0.6, 0.8, 0.1], np.float32)))]


def test_the_surest_detection_of_nothing_comes_first(scene: list[Matched]) -> None:
    assert [one.value for one in false_positives(scene, 0.2)] == pytest.approx([0.8, 0.6])
    assert false_positives(scene, 0.2)[0].box == [330, 300, 350, 320]
    assert [one.value for one in false_positives(scene, 0.7)] == pytest.approx([0.8])


def test_what_a_threshold_leaves_out_is_missed_the_largest_first(scene: list[Matched]) -> None:
    assert [one.value for one in misses(scene, 0.2)] == pytest.approx([40, 10])
    assert [one.value for one in misses(scene, 0.0)] == pytest.approx([10])


def test_the_loosest_match_comes_first_with_its_label(scene: list[Matched]) -> None:
    first, second = loosest(scene, 0.0)
    assert first.value == pytest.approx(18 / 22)
    assert (first.box, first.beside) == ([12, 10, 32, 30], [10, 10, 30, 30])
    assert second.value == 1


def test_suspects_are_a_table_of_boxes(scene: list[Matched]) -> None:
    rows = list(csv.DictReader(io.StringIO(suspect_labels(false_positives(scene, 0.2)))))
    assert [row["score"] for row in rows] == ["0.8", "0.6"]
    assert rows[0] == {
        "scene": "one",
        "xmin": "330.0",
        "ymin": "300.0",
        "xmax": "350.0",
        "ymax": "320.0",
        "score": "0.8",
    }


def test_perfect_detections_leave_nothing_to_look_at_but_matches() -> None:
    scenes = match_scenes(perfect(scored_scenes()))
    assert (false_positives(scenes, 0.5), misses(scenes, 0.5)) == ([], [])
    assert len(loosest(scenes, 0.5)) == 167
