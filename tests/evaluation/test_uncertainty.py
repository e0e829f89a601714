from collections.abc import Sequence

import numpy as np
import pytest

from oil_storage.evaluation.matching import SceneResult, match_scenes
from oil_storage.evaluation.outcomes import Outcomes
from oil_storage.evaluation.scene_score import average_precisions
from oil_storage.evaluation.uncertainty import RESAMPLED, differences, draws, intervals
from tests.scored_scenes import perfect, scored_scenes, with_detections

MANY = (40, 3, 7, 120, 15, 60, 30, 22, 9, 80)


def outcomes_of(scenes: Sequence[SceneResult]) -> Outcomes:
    return Outcomes.of(match_scenes(scenes), 0.4)


@pytest.mark.slow
def test_interval_contains_the_metric_and_narrows_with_more_scenes() -> None:
    few, many = scored_scenes(MANY * 2), scored_scenes(MANY * 8)
    spans = [intervals([outcomes_of(scenes)]) for scenes in (few, many)]
    assert spans[0]["ap50"][0] < average_precisions(few)["ap50"] < spans[0]["ap50"][1]
    for name in ("ap", "ap50", "f1"):
        widths = [span[name][1] - span[name][0] for span in spans]
        assert 0 < widths[1] < 0.75 * widths[0]


def test_intervals_are_reproducible_and_empty_for_perfect_detections() -> None:
    run = outcomes_of(scored_scenes(MANY))
    assert intervals([run]) == intervals([run])
    assert intervals([outcomes_of(perfect(scored_scenes(MANY)))])["ap"] == pytest.approx([1, 1])


def test_draws_are_with_replacement() -> None:
    drawn = draws(12)
    assert drawn.shape == (RESAMPLED, 12)
    assert (drawn.sum(axis=1) == 12).all()
    assert drawn.max() > 2
    assert drawn.mean(axis=0) == pytest.approx(np.ones(12), abs=0.15)


@pytest.mark.slow
def test_difference_is_zero_to_itself_and_positive_to_a_worse_detector() -> None:
    scenes = scored_scenes(MANY)
    good = outcomes_of(scenes)
    assert differences([good], [good]) == {"ap": [0, 0], "ap50": [0, 0], "f1": [0, 0]}
    worse = outcomes_of([with_detections(scene, scene.boxes[::2], scene.scores[::2]) for scene in scenes])
    for low, high in differences([worse], [good]).values():
        assert 0 < low < high
    paired = differences([worse], [good])["f1"]
    alone = intervals([good])["f1"]
    assert paired[1] - paired[0] < 2 * (alone[1] - alone[0])


def test_different_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="same scenes"):
        differences([outcomes_of(scored_scenes((1, 2)))], [outcomes_of(scored_scenes((1,)))])


def test_one_scene_gives_no_interval() -> None:
    single = outcomes_of(scored_scenes((40,)))
    for spans in (intervals([single]), differences([single], [single])):
        assert np.isnan(list(spans.values())).all()


@pytest.mark.slow
def test_seeds_share_samples_and_folds_do_not() -> None:
    scenes = scored_scenes(MANY)
    good = outcomes_of(scenes)
    worse = outcomes_of([with_detections(scene, scene.boxes[::2], scene.scores[::2]) for scene in scenes])
    # repeating a run does not change the interval
    assert intervals([good, good]) == intervals([good])
    low, high = intervals([good, worse])["f1"]
    assert intervals([worse])["f1"][0] < low < high < intervals([good])["f1"][1]
    # two folds have twice as many scenes
    folds = [outcomes_of(scenes[:5]), outcomes_of(scenes[5:])]
    both, single = intervals(folds)["f1"], intervals(folds[:1])["f1"]
    assert both[1] - both[0] < single[1] - single[0]
    assert differences(folds, folds[::-1]) == {"ap": [0, 0], "ap50": [0, 0], "f1": [0, 0]}
    with pytest.raises(ValueError, match="same scenes"):
        differences(folds, folds[:1])
