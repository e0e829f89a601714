import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from oil_storage.evaluation.matching import Matched, SceneResult, match_scenes
from oil_storage.evaluation.scene_score import score_scenes
from oil_storage.reporting.score_report import (
    PAGE,
    SUSPECTS,
    false_positives,
    from_scenes,
    from_tiles,
    loosest,
    misses,
    suspect_labels,
    write_report,
)
from oil_storage.tiling import tile_grid
from tests.scored_scenes import empty, perfect, scored_scenes

TRUTH = np.array([[10, 10, 30, 30], [100, 100, 140, 140], [200, 10, 210, 20]], np.float32)
BOXES = np.array([[12, 10, 32, 30], [300, 300, 320, 320], [330, 300, 350, 320], [100, 100, 140, 140]], np.float32)


@pytest.fixture
def scene() -> list[Matched]:
    return [Matched(SceneResult("one", 400, 400, TRUTH, BOXES, np.array([0.9, 0.6, 0.8, 0.1], np.float32)))]


def test_false_positives_begin_with_the_best_score(scene: list[Matched]) -> None:
    assert [box.value for box in false_positives(scene, 0.2)] == pytest.approx([0.8, 0.6])
    assert false_positives(scene, 0.2)[0].box == [330, 300, 350, 320]
    assert [box.value for box in false_positives(scene, 0.7)] == pytest.approx([0.8])


def test_misses_are_the_objects_without_a_detection_above_the_threshold(scene: list[Matched]) -> None:
    assert [box.value for box in misses(scene, 0.2)] == pytest.approx([40, 10])
    assert [box.value for box in misses(scene, 0.0)] == pytest.approx([10])


def test_loosest_begins_with_the_lowest_iou(scene: list[Matched]) -> None:
    first, second = loosest(scene, 0.0)
    assert first.value == pytest.approx(18 / 22)
    assert (first.box, first.truth) == ([12, 10, 32, 30], [10, 10, 30, 30])
    assert second.value == 1


def test_suspect_labels_are_csv_rows(scene: list[Matched]) -> None:
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


def test_perfect_detections_have_neither_false_positives_nor_misses() -> None:
    scenes = match_scenes(perfect(scored_scenes()))
    assert (false_positives(scenes, 0.5), misses(scenes, 0.5)) == ([], [])
    assert len(loosest(scenes, 0.5)) == 167


def test_report_is_self_contained_and_shows_the_worst_boxes(tmp_path: Path) -> None:
    scenes = match_scenes(scored_scenes())
    figures = score_scenes(scenes, 0.3)
    images = {}
    for scene in scenes:
        images[scene.result.scene_id] = tmp_path / f"{scene.result.scene_id}.png"
        cv2.imwrite(str(images[scene.result.scene_id]), np.full((2560, 2560, 3), 90, np.uint8))
    out = tmp_path / "out"
    out.mkdir()
    write_report(out, "a <title>", {"config": "x.py"}, scenes, figures, from_scenes(images))
    page = (out / PAGE).read_text()
    assert "a &lt;title&gt;" in page
    assert "http" not in page
    assert "<script" not in page
    assert f'<td class="number">{figures.f1:.3f}</td>' in page
    low, high = figures.intervals["ap"]
    assert f"{low:.3f} to {high:.3f}" in page
    assert all(scene.result.scene_id in page for scene in scenes)
    assert {path.name for path in out.glob("*.jpg")} == {"false_positives.jpg", "misses.jpg", "loosest.jpg"}
    assert len(list(out.glob("*.png"))) == 5
    assert len((out / SUSPECTS).read_text().splitlines()) > 5
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_report_is_written_without_detections(threshold: float | None, tmp_path: Path) -> None:
    scenes = match_scenes(empty(scored_scenes()))
    write_report(tmp_path, "none", {}, scenes, score_scenes(scenes, threshold), from_scenes({}))
    assert "Highest-scoring false positives" in (tmp_path / PAGE).read_text()
    assert (tmp_path / SUSPECTS).read_text() == "scene,xmin,ymin,xmax,ymax,score\n"


def test_from_tiles_chooses_the_tile_with_the_widest_margin(tmp_path: Path) -> None:
    none = np.zeros((0, 4), np.float32)
    windows = tile_grid(200, 100, 100, 20)
    scene = SceneResult("a_b", 200, 100, none, none, np.zeros(0, np.float32), windows)
    for x, y, *_ in windows.tolist():
        (tmp_path / f"a_b_{x}_{y}.png").touch()
    picture_of = from_tiles(tmp_path, match_scenes([scene]))
    assert picture_of("a_b", [10, 10, 20, 20]) == (tmp_path / "a_b_0_0.png", (0, 0))
    assert picture_of("a_b", [90, 40, 98, 50]) == (tmp_path / "a_b_80_0.png", (80, 0))
    assert from_tiles(tmp_path / "none", match_scenes([scene]))("a_b", [10, 10, 20, 20]) is None
