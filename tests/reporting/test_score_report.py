from pathlib import Path

import cv2
import numpy as np
import pytest

from oil_storage.evaluation.matching import match_scenes
from oil_storage.evaluation.scene_result import SceneResult
from oil_storage.evaluation.scene_score import score_scenes
from oil_storage.reporting.score_report import PAGE, SUSPECTS, from_scenes, from_tiles, write_report
from oil_storage.tiling import tile_grid
from tests.scored_scenes import empty, scored_scenes


def test_the_page_stands_alone_and_shows_the_worst(tmp_path: Path) -> None:
    scenes = match_scenes(scored_scenes())
    figures = score_scenes(scenes, 0.3)
    images = {}
    for one in scenes:
        images[one.result.scene_id] = tmp_path / f"{one.result.scene_id}.png"
        cv2.imwrite(str(images[one.result.scene_id]), np.full((2560, 2560, 3), 90, np.uint8))
    out = tmp_path / "out"
    out.mkdir()
    write_report(out, "a <title>", {"config": "x.py"}, scenes, figures, from_scenes(images))
    page = (out / PAGE).read_text()
    assert "a &lt;title&gt;" in page
    assert "http" not in page
    assert "<script" not in page
    assert f'<td class="number">{figures["f1"]:.3f}</td>' in page
    assert f"{figures['intervals']['ap'][0]:.3f} to {figures['intervals']['ap'][1]:.3f}" in page
    assert all(one.result.scene_id in page for one in scenes)
    assert {path.name for path in out.glob("*.jpg")} == {"false_positives.jpg", "misses.jpg", "loosest.jpg"}
    assert len(list(out.glob("*.png"))) == 5
    assert len((out / SUSPECTS).read_text().splitlines()) > 5
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_nothing_found_makes_a_page_too(threshold: float | None, tmp_path: Path) -> None:
    scenes = match_scenes(empty(scored_scenes()))
    write_report(tmp_path, "none", {}, scenes, score_scenes(scenes, threshold), from_scenes({}))
    assert "Surest detections of nothing" in (tmp_path / PAGE).read_text()
    assert (tmp_path / SUSPECTS).read_text() == "scene,xmin,ymin,xmax,ymax,score\n"


def test_pictures_come_from_the_tile_that_shows_most_around_a_box(tmp_path: Path) -> None:
    none = np.zeros((0, 4), np.float32)
    windows = tile_grid(200, 100, 100, 20)
    scene = SceneResult("a_b", 200, 100, none, none, np.zeros(0, np.float32), windows)
    for x, y, *_ in windows.tolist():
        (tmp_path / f"a_b_{x}_{y}.png").touch()
    picture_of = from_tiles(tmp_path, match_scenes([scene]))
    assert picture_of("a_b", [10, 10, 20, 20]) == (tmp_path / "a_b_0_0.png", (0, 0))
    assert picture_of("a_b", [90, 40, 98, 50]) == (tmp_path / "a_b_80_0.png", (80, 0))
    assert from_tiles(tmp_path / "none", match_scenes([scene]))("a_b", [10, 10, 20, 20]) is None
