import json

import pytest

from oil_storage.evaluation.errors import Kind
from oil_storage.evaluation.matching import match_scenes
from oil_storage.evaluation.scene_score import average_precisions, score_scenes
from tests.scored_scenes import empty, perfect, scored_scenes

FIGURES = (
    "ap",
    "ap50",
    "ap75",
    "ap_s",
    "ap_under_8",
    "ap_from_64",
    "ar",
    "voc_ap",
    "voc_ap_11",
    "threshold",
    "precision",
)
FIGURES += ("recall", "f1", "count_mae", "count_bias", "count_r2", "iou", "centre_px", "diameter_px", "centre_m")


def test_everything_is_there_and_fits_into_json() -> None:
    scenes = scored_scenes()
    figures = score_scenes(match_scenes(scenes), 0.4)
    assert set(FIGURES) <= set(figures)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert set(figures["lost_ap50"]) == set(map(str, Kind))
    assert list(figures["scenes"]) == [one.scene_id for one in scenes]
    of_one = figures["scenes"]["scene_03"]
    assert of_one["tanks"] == 120
    assert of_one["found"] == int((scenes[3].scores >= 0.4).sum())
    right = of_one["precision"] * of_one["found"]
    false = sum(of_one["errors"][kind] for kind in (Kind.LOCALISATION, Kind.DUPLICATE, Kind.BACKGROUND, Kind.BORDER))
    assert right + false == pytest.approx(of_one["found"])
    assert figures["scenes"]["scene_01"]["recall"] is None


def test_perfect_and_empty() -> None:
    scenes = scored_scenes()
    right = score_scenes(match_scenes(perfect(scenes)), 0.4)
    assert [right[name] for name in ("ap", "ap50", "f1", "count_r2", "iou", "voc_ap")] == pytest.approx([1] * 6)
    assert sum(right["lost_ap50"].values()) == 0
    nothing = score_scenes(match_scenes(empty(scenes)), 0.4)
    assert [nothing[name] for name in ("ap", "ap50", "f1", "recall", "voc_ap")] == [0] * 5
    assert nothing["precision"] is None
    assert nothing["count_bias"] == pytest.approx(-(40 + 7 + 120) / 4)


def test_without_a_threshold_only_what_needs_none_is_told() -> None:
    figures = score_scenes(match_scenes(scored_scenes()), None)
    assert {"ap", "voc_ap", "lost_ap50"} <= set(figures)
    assert not {"f1", "count_mae", "iou", "scenes"} & set(figures)


@pytest.mark.parametrize("numbers", [(0, 0), (25,)])
def test_scenes_without_tanks_and_one_scene_alone(numbers: tuple[int, ...]) -> None:
    figures = score_scenes(match_scenes(scored_scenes(numbers)), 0.4)
    assert json.dumps(figures, allow_nan=False)
    assert (figures["ap"] is None) == (sum(numbers) == 0)
    assert figures["count_mae"] > 0


def test_the_order_of_scenes_does_not_matter() -> None:
    scenes = scored_scenes()
    assert average_precisions(scenes[::-1]) == pytest.approx(average_precisions(scenes), abs=0, nan_ok=True)
    assert score_scenes(match_scenes(scenes[::-1]), 0.4) == score_scenes(match_scenes(scenes), 0.4)
