import numpy as np
import pytest

from oil_storage.evaluation.matching import IOUS, Matched, match, match_scenes
from tests.scored_scenes import scored_scenes, with_detections


def test_highest_score_is_matched_first_and_each_object_once() -> None:
    ious = np.array([[0.6, 0.55], [0.9, 0.0], [0.8, 0.7]])
    assert match(ious, np.array([0.9, 0.8, 0.7], np.float32)).tolist() == [0, -1, 1]
    assert match(ious, np.array([0.7, 0.9, 0.8], np.float32)).tolist() == [-1, 0, 1]
    assert match(ious, np.array([0.7, 0.9, 0.8], np.float32), 0.75).tolist() == [-1, 0, -1]


def test_match_does_not_depend_on_lower_scores() -> None:
    scene = scored_scenes((80,))[0]
    whole = Matched(scene)
    for number in (1, 20, 60):
        part = Matched(with_detections(scene, whole.boxes[:number], whole.scores[:number]))
        assert (part.at == whole.at[:, :number]).all()


def test_higher_iou_threshold_gives_no_more_matches() -> None:
    for scene in match_scenes(scored_scenes()):
        matched = (scene.at >= 0).sum(axis=1)
        assert len(matched) == len(IOUS)
        assert (np.diff(matched) <= 0).all()
        assert (np.diff(scene.scores) <= 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_matches_do_not_depend_on_the_order_of_the_input(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = scored_scenes()
    shuffled = [
        with_detections(scene, scene.boxes[order], scene.scores[order])
        for scene, order in ((scene, rng.permutation(len(scene.scores))) for scene in scenes)
    ]
    shuffled = [shuffled[i] for i in rng.permutation(len(shuffled))]
    for scene, other in zip(match_scenes(scenes), match_scenes(shuffled), strict=True):
        assert scene.result.scene_id == other.result.scene_id
        assert (scene.boxes == other.boxes).all()
        assert (scene.at == other.at).all()
