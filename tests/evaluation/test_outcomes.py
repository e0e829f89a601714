from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from oil_storage.errors import UserError
from oil_storage.evaluation.curves import AveragePrecision, at_threshold
from oil_storage.evaluation.matching import Matched, SceneResult, match_scenes
from oil_storage.evaluation.outcomes import Outcomes, TestOutcomes
from oil_storage.evaluation.scene_score import average_precisions
from tests.scored_scenes import empty, scored_scenes


def equal(first: Outcomes, second: Outcomes) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in vars(first))


def test_counts_of_scenes_give_the_f1_at_the_threshold() -> None:
    scenes = match_scenes(scored_scenes())
    outcomes = Outcomes.of(scenes, 0.5)
    f1 = 2 * outcomes.correct.sum() / (outcomes.found.sum() + outcomes.objects.sum())
    assert f1 == pytest.approx(at_threshold(scenes, 0.5).f1)
    assert outcomes.names == tuple(scene.result.scene_id for scene in scenes)
    assert outcomes.objects.tolist() == [len(scene.result.truth) for scene in scenes]


def tiles_of(scenes: Sequence[SceneResult]) -> list[Matched]:
    """Return two tiles of each scene, the left and the right half, unmerged."""
    tiles = []
    for scene in scenes:
        for number in range(2):
            truth, boxes = ((part[:, 0] > scene.width / 2) == number for part in (scene.truth, scene.boxes))
            name = f"{scene.scene_id}_{number}"
            tile = SceneResult(
                name, scene.width, scene.height, scene.truth[truth], scene.boxes[boxes], scene.scores[boxes]
            )
            tiles.append(Matched(tile))
    return tiles


def test_tiles_count_with_their_scene() -> None:
    scenes = scored_scenes((30, 0, 25, 60))
    tiles = tiles_of(scenes)
    outcomes = Outcomes.of(tiles, 0.5, [name for scene in scenes for name in [scene.scene_id] * 2])
    assert outcomes.objects.tolist() == [30, 0, 25, 60]
    ap = AveragePrecision(outcomes)
    assert ap(np.ones(4, int)).mean() == pytest.approx(average_precisions([tile.result for tile in tiles])["ap"])
    of_two = average_precisions([tile.result for tile in tiles[4:]])["ap"]
    assert ap(np.array([0, 0, 1, 1])).mean() == pytest.approx(of_two, abs=0.002)  # equal scores have another order


def test_file_restores_the_outcomes_and_is_reproducible(tmp_path: Path) -> None:
    scenes = scored_scenes((30, 0, 25, 60), noise=2000)
    tested = TestOutcomes(
        tiles=Outcomes.of(tiles_of(scenes), 0.5, [scene.scene_id for scene in scenes for _ in range(2)]),
        scenes=Outcomes.of(match_scenes(scenes), 0.5),
    )
    tested.save(tmp_path / "a.npz")
    loaded = TestOutcomes.load(tmp_path / "a.npz")
    assert equal(loaded.tiles, tested.tiles)
    assert equal(loaded.scenes, tested.scenes)
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").stat().st_size < len(tested.tiles.scene) * 3


def test_scenes_without_detections_can_be_stored(tmp_path: Path) -> None:
    outcomes = Outcomes.of(match_scenes(empty(scored_scenes())), 0.5)
    TestOutcomes(outcomes, outcomes).save(tmp_path / "a.npz")
    assert equal(TestOutcomes.load(tmp_path / "a.npz").tiles, outcomes)
    assert AveragePrecision(outcomes)(np.ones(4, int)).tolist() == [0] * 10


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_damaged_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz: missing or damaged outcomes"):
        TestOutcomes.load(path)


def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    outcomes = Outcomes.of(match_scenes(scored_scenes()), 0.5)
    TestOutcomes(outcomes, outcomes).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        np.savez(tmp_path / "b.npz", **{**arrays, "tiles_scene": arrays["tiles_scene"] + 4})
    with pytest.raises(UserError, match=r"b\.npz"):
        TestOutcomes.load(tmp_path / "b.npz")
