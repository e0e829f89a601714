from collections.abc import Sequence

import numpy as np
import pytest

from oil_storage.evaluation.curves import AveragePrecision, at_threshold, average_precision, curve, voc_ap
from oil_storage.evaluation.matching import Matched, SceneResult, match_scenes
from oil_storage.evaluation.outcomes import Outcomes
from oil_storage.evaluation.scene_score import average_precisions
from tests.scored_scenes import empty, perfect, scored_scenes, with_detections


def average_precision_of(scenes: Sequence[Matched]) -> AveragePrecision:
    return AveragePrecision(Outcomes.of(scenes, 0.5))


def brute_force_f1(scenes: list[SceneResult], threshold: float) -> float:
    """Compute F1 by matching each detection, in the order of scores, to the free object with the largest IoU."""
    right = detections = objects = 0
    for scene in scenes:
        free = [tuple(map(float, box)) for box in scene.truth]
        objects += len(free)
        accepted = sorted(
            (
                (float(s), tuple(map(float, b)))
                for s, b in zip(scene.scores, scene.boxes, strict=True)
                if s >= threshold
            ),
            key=lambda item: (-item[0], item[1]),
        )
        detections += len(accepted)
        for _, (x1, y1, x2, y2) in accepted:
            best, overlap = None, 0.5
            for number, (a1, b1, a2, b2) in enumerate(free):
                common = max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1))
                iou = common / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - common)
                if iou >= overlap:
                    best, overlap = number, iou
            if best is not None:
                del free[best]
                right += 1
    return 2 * right / (detections + objects)


@pytest.mark.parametrize("seed", range(3))
def test_f1_equals_brute_force_at_every_threshold(seed: int) -> None:
    scenes = scored_scenes(seed=seed)
    computed = curve(match_scenes(scenes))
    assert len(computed.thresholds) > 50
    for threshold, f1 in zip(computed.thresholds[::7], computed.f1[::7], strict=True):
        assert f1 == pytest.approx(brute_force_f1(scenes, threshold), abs=1e-12)
        assert at_threshold(match_scenes(scenes), threshold).f1 == pytest.approx(f1, abs=1e-12)
    best = computed.best_threshold()
    assert best is not None
    assert at_threshold(match_scenes(scenes), best).f1 == pytest.approx(computed.f1.max())


def test_perfect_missing_shifted_and_doubled_detections_get_the_expected_scores() -> None:
    scenes = scored_scenes()
    right = match_scenes(perfect(scenes))
    assert (at_threshold(right, 0.5).f1, *voc_ap(right)) == pytest.approx((1, 1, 1))
    nothing = match_scenes(empty(scenes))
    assert (at_threshold(nothing, 0.5).f1, at_threshold(nothing, 0.5).recall, *voc_ap(nothing)) == (0, 0, 0, 0)
    assert np.isnan(at_threshold(nothing, 0.5).precision)
    assert curve(nothing).best_threshold() is None
    far = [with_detections(scene, scene.truth + 1000, np.ones(len(scene.truth))) for scene in scenes]
    assert at_threshold(match_scenes(far), 0.5).f1 < 0.02
    twice = [
        with_detections(scene, np.repeat(scene.truth, 2, axis=0), np.ones(2 * len(scene.truth))) for scene in scenes
    ]
    doubled = at_threshold(match_scenes(twice), 0.5)
    assert (doubled.precision, doubled.recall) == pytest.approx((0.5, 1.0))


def test_recall_and_ap_are_nan_without_objects_and_one_scene_has_an_f1() -> None:
    bare = match_scenes(scored_scenes((0, 0)))
    assert all(np.isnan(value) for value in voc_ap(bare))
    assert at_threshold(bare, 0.0).f1 == 0
    assert np.isnan(at_threshold(bare, 0.0).recall)
    assert np.isnan(average_precision_of(bare)(np.ones(2, int))).all()
    assert np.isnan(at_threshold(match_scenes(empty(scored_scenes((0,)))), 0.5).f1)
    assert 0 < at_threshold(match_scenes(scored_scenes((30,))), 0.5).f1 < 1


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_with_equal_weights_equals_coco(seed: int) -> None:
    scenes = scored_scenes(seed=seed)
    matched = match_scenes(scenes)
    ap = average_precision_of(matched)(np.ones(len(scenes), int))
    theirs = average_precisions(scenes)
    assert (ap.mean(), ap[0], ap[5]) == pytest.approx((theirs["ap"], theirs["ap50"], theirs["ap75"]), abs=1e-9)
    assert 0.05 < theirs["ap"] < 0.95
    scores, right = (np.concatenate([getattr(scene, name) for scene in matched]) for name in ("scores", "right"))
    objects = sum(len(scene.truth) for scene in scenes)
    assert average_precision(scores, right, objects) == pytest.approx(theirs["ap50"], abs=1e-9)


def test_scene_with_weight_two_counts_as_two_scenes() -> None:
    scenes = scored_scenes()
    again = [Matched(SceneResult(f"{s.scene_id}_2", s.width, s.height, s.truth, s.boxes, s.scores)) for s in scenes[2:]]
    weighted = average_precision_of(match_scenes(scenes))(np.array([0, 1, 2, 2]))
    repeated = average_precision_of([*match_scenes(scenes[1:]), *again])(np.ones(5, int))
    # the order of scenes matters for equal scores
    assert weighted == pytest.approx(repeated, abs=0.01)


def test_voc_average_precision_equals_a_value_computed_by_hand() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], np.float32)
    boxes = np.concatenate([truth[:1], [[80, 80, 90, 90]], truth[1:2]]).astype(np.float32)
    scene = SceneResult("one", 100, 100, truth, boxes, np.array([0.9, 0.8, 0.7], np.float32))
    # precision 1 until recall 1/4, 2/3 until 1/2, then 0
    eleven, every = voc_ap([Matched(scene)])
    assert eleven == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert every == pytest.approx(1 / 4 + 2 / 3 / 4)


@pytest.mark.slow
def test_limit_of_detections_affects_only_average_precision() -> None:
    grid = np.stack(np.meshgrid(np.arange(50), np.arange(50)), -1).reshape(-1, 2) * 20.0
    truth = np.hstack([grid, grid + 10]).astype(np.float32)
    scene = SceneResult("dense", 1000, 1000, truth, truth, np.linspace(0.9, 0.1, len(truth)).astype(np.float32))
    matched = match_scenes([scene])
    at = at_threshold(matched, 0.0)
    assert (at.precision, at.recall, at.f1) == (1, 1, 1)
    theirs = average_precisions([scene])["ap50"]
    assert theirs < 0.85
    assert average_precision_of(matched)(np.ones(1, int))[0] == pytest.approx(theirs, abs=1e-9)
