import json
from pathlib import Path

import pytest

from oil_storage.evaluation.errors import Kind
from oil_storage.evaluation.matching import match_scenes
from oil_storage.evaluation.scene_score import average_precisions, score_scenes
from oil_storage.figures import Figures
from tests.scored_scenes import empty, perfect, scored_scenes


def test_figures_can_be_saved_and_loaded(tmp_path: Path) -> None:
    scenes = scored_scenes()
    figures = score_scenes(match_scenes(scenes), 0.4)
    figures.save(tmp_path / "figures.json")
    assert Figures.load(tmp_path / "figures.json") == figures
    assert set(figures.lost_ap50) == set(map(str, Kind))
    assert list(figures.scenes) == [scene.scene_id for scene in scenes]
    densest = figures.scenes["scene_03"]
    assert densest.tanks == 120
    assert densest.found == int((scenes[3].scores >= 0.4).sum())
    assert densest.precision is not None
    right = densest.precision * densest.found
    false = sum(densest.errors[kind] for kind in (Kind.LOCALISATION, Kind.DUPLICATE, Kind.BACKGROUND, Kind.BORDER))
    assert right + false == pytest.approx(densest.found)
    assert figures.scenes["scene_01"].recall is None


def test_perfect_detections_score_one_and_no_detections_score_zero() -> None:
    scenes = scored_scenes()
    right = score_scenes(match_scenes(perfect(scenes)), 0.4)
    assert (right.ap, right.ap50, right.f1, right.count_r2, right.iou, right.voc_ap) == pytest.approx((1,) * 6)
    assert sum(value or 0 for value in right.lost_ap50.values()) == 0
    nothing = score_scenes(match_scenes(empty(scenes)), 0.4)
    assert (nothing.ap, nothing.ap50, nothing.f1, nothing.recall, nothing.voc_ap) == (0,) * 5
    assert nothing.precision is None
    assert nothing.count_bias == pytest.approx(-(40 + 7 + 120) / 4)


def test_metrics_that_need_a_threshold_are_omitted_without_one() -> None:
    figures = score_scenes(match_scenes(scored_scenes()), None)
    assert {"ap", "voc_ap", "lost_ap50"} <= figures.model_fields_set
    assert not {"f1", "count_mae", "iou", "scenes"} & figures.model_fields_set


@pytest.mark.parametrize("numbers", [(0, 0), (25,)])
def test_metrics_exist_for_scenes_without_tanks_and_for_one_scene(numbers: tuple[int, ...]) -> None:
    figures = score_scenes(match_scenes(scored_scenes(numbers)), 0.4)
    assert json.dumps(figures.model_dump(), allow_nan=False)
    assert (figures.ap is None) == (sum(numbers) == 0)
    assert figures.count_mae


def test_metrics_do_not_depend_on_the_order_of_scenes() -> None:
    scenes = scored_scenes()
    assert average_precisions(scenes[::-1]) == pytest.approx(average_precisions(scenes), abs=0, nan_ok=True)
    assert score_scenes(match_scenes(scenes[::-1]), 0.4) == score_scenes(match_scenes(scenes), 0.4)
