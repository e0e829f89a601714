import numpy as np
import pytest

from oil_storage.preparation.split import FRACTIONS, SAME_GROUND, SPLITS, split_scenes


def densities(number: int, seed: int = 0) -> dict[str, int]:
    boxes = np.random.default_rng(seed).lognormal(4.6, 0.8, number).astype(int)
    return {f"scene_{index}": int(count) for index, count in enumerate(boxes)}


@pytest.mark.parametrize("number", [3, 4, 7, 24, 78, 98, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_scene_is_in_one_split_and_shares_hold(number: int, seed: int) -> None:
    scenes = densities(number)
    split = split_scenes(scenes, seed)
    assert sorted(scene for name in SPLITS for scene in split[name]) == sorted(scenes)
    for name, fraction in zip(SPLITS, FRACTIONS, strict=True):
        assert len(split[name]) >= 1
        assert abs(len(split[name]) - fraction * number) <= 2


def test_splits_hold_sparse_and_dense_scenes_alike() -> None:
    scenes = densities(98)
    for seed in range(5):
        split = split_scenes(scenes, seed)
        means = [np.mean([scenes[scene] for scene in split[name]]) for name in SPLITS]
        assert max(means) / min(means) < 1.35


def test_seed_and_nothing_else_decides() -> None:
    scenes = densities(40)
    turned = dict(reversed(scenes.items()))
    assert split_scenes(scenes, 3) == split_scenes(turned, 3)
    assert split_scenes(scenes, 3) != split_scenes(scenes, 4)


def test_scenes_of_one_ground_stay_together() -> None:
    scenes = densities(30) | dict.fromkeys(SAME_GROUND[0], 50)
    for seed in range(20):
        split = split_scenes(scenes, seed)
        assert sum(set(SAME_GROUND[0]) <= set(split[name]) for name in SPLITS) == 1


def test_too_few_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 independent scenes"):
        split_scenes(dict.fromkeys(SAME_GROUND[0], 5) | {"c": 5}, 0)
