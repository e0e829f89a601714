import numpy as np
import pytest

from oil_storage.evaluation.errors import Kind, classify, count_by_size, cut_by_border, lost_ap50
from oil_storage.evaluation.matching import Matched, SceneResult, match_scenes
from oil_storage.tiling import tile_grid
from tests.scored_scenes import empty, perfect, scored_scenes

TRUTH = np.array([[100, 100, 120, 120], [200, 200, 220, 220], [300, 300, 320, 320], [0, 400, 20, 420]], np.float32)


def scene(boxes: list[list[float]], windows: np.ndarray | None = None) -> SceneResult:
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return SceneResult("one", 500, 500, TRUTH, np.array(boxes, np.float32).reshape(-1, 4), scores, windows)


def test_every_kind_of_error_is_classified() -> None:
    result = scene(
        [
            [100, 100, 120, 120],  # correct
            [101, 101, 121, 121],  # duplicate
            [210, 200, 230, 220],  # shifted by half a tank
            [400, 100, 420, 120],  # background
            [0, 410, 20, 430],  # shifted from a tank at the border of the scene
        ]
    )
    errors = classify(Matched(result))
    assert errors.false == [None, Kind.DUPLICATE, Kind.LOCALISATION, Kind.BACKGROUND, Kind.BORDER]
    assert errors.missed == [None, None, Kind.MISSED, None]


def test_objects_at_the_border_or_in_no_complete_tile_are_cut() -> None:
    assert cut_by_border(scene([])).tolist() == [False, False, False, True]
    assert cut_by_border(scene([], tile_grid(500, 500, 210, 0))).tolist() == [False, True, False, True]
    assert cut_by_border(scene([], tile_grid(500, 500, 210, 30))).tolist() == [False, False, False, True]


def test_lost_ap50_is_the_gain_of_correcting_one_kind_of_error() -> None:
    nothing = [Matched(scene([]))]
    gained = lost_ap50(nothing)
    # three objects are missed, and one is cut by the border
    assert gained[Kind.BACKGROUND] == gained[Kind.DUPLICATE] == 0
    uncut = match_scenes(empty(scored_scenes((5, 8))))
    assert lost_ap50(uncut)[Kind.MISSED] == 1
    bare = match_scenes(scored_scenes((0, 0)))
    assert all(np.isnan(gain) for gain in lost_ap50(bare).values())
    off = [Matched(scene([[110, 100, 130, 120], *TRUTH[1:].tolist()]))]
    gained = lost_ap50(off)
    assert gained[Kind.LOCALISATION] == pytest.approx(max(gained.values()))
    assert gained[Kind.LOCALISATION] > 0.2
    assert gained[Kind.MISSED] == 0
    false = [Matched(scene([[400, 100, 420, 120], *TRUTH.tolist()]))]
    gained = lost_ap50(false)
    assert gained[Kind.BACKGROUND] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("make", [perfect, empty])
def test_perfect_detections_have_no_errors_and_empty_ones_only_missed_objects(make: object) -> None:
    scenes = match_scenes(make(scored_scenes()))  # type: ignore[operator]
    errors = [classify(matched) for matched in scenes]
    kinds = {kind for its in errors for kind in [*its.false, *its.missed]}
    assert kinds - {Kind.BORDER} == ({None} if make is perfect else {Kind.MISSED})


def test_gains_are_not_negative_and_counts_add_up() -> None:
    scenes = match_scenes(scored_scenes())
    errors = [classify(matched, 0.3) for matched in scenes]
    assert min(lost_ap50(scenes).values()) >= 0
    counts = count_by_size(scenes, errors)
    total = sum(sum(of_size.values()) for of_size in counts.values())
    kinds = [kind for its in errors for kind in [*its.false, *its.missed] if kind is not None]
    assert total == len(kinds) > 0


def test_object_detected_below_the_threshold_is_missed() -> None:
    matched = Matched(scene([TRUTH[0].tolist(), [400, 100, 420, 120], TRUTH[1].tolist()]))  # scores 0.9, 0.7, 0.5
    assert classify(matched).missed == [None, None, Kind.MISSED, Kind.BORDER]
    errors = classify(matched, 0.6)
    assert errors.missed == [None, Kind.MISSED, Kind.MISSED, Kind.BORDER]
    assert errors.false == [None, Kind.BACKGROUND, None]
    assert classify(matched, 0.8).false == [None, None, None]
