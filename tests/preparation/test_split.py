import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from oil_storage.errors import UserError
from oil_storage.manifest import SPLITS
from oil_storage.preparation.split import FRACTIONS, read_split_file, split_scenes

PAIR = ("scene_3", "scene_17")


def densities(number: int, seed: int = 0) -> dict[str, int]:
    boxes = np.random.default_rng(seed).lognormal(4.6, 0.8, number).astype(int)
    return {f"scene_{index}": int(count) for index, count in enumerate(boxes)}


def groups_of(scenes: Iterable[str], *same_ground: Sequence[str]) -> list[list[str]]:
    """Return the given groups, and a group of its own for each other scene."""
    alone = set(scenes).difference(*same_ground)
    return sorted([*map(list, same_ground), *([scene] for scene in alone)])


@pytest.mark.parametrize("number", [3, 4, 7, 78, 1000])
def test_each_scene_is_in_one_split_of_the_expected_size(number: int) -> None:
    scenes = densities(number)
    for seed in range(3):
        split = split_scenes(scenes, groups_of(scenes), seed)
        assert sorted(scene for name in SPLITS for scene in split[name]) == sorted(scenes)
        for name, fraction in zip(SPLITS, FRACTIONS, strict=True):
            assert len(split[name]) >= 1
            assert abs(len(split[name]) - fraction * number) <= 2


def test_splits_have_similar_densities() -> None:
    scenes = densities(98)
    for seed in range(5):
        split = split_scenes(scenes, groups_of(scenes), seed)
        means = [np.mean([scenes[scene] for scene in split[name]]) for name in SPLITS]
        assert max(means) / min(means) < 1.35


def test_split_depends_only_on_the_seed() -> None:
    scenes = densities(40)
    turned = dict(reversed(scenes.items()))
    groups = groups_of(scenes)
    assert split_scenes(scenes, groups, 3) == split_scenes(turned, groups, 3)
    assert split_scenes(scenes, groups, 3) != split_scenes(scenes, groups, 4)


def test_scenes_with_shared_ground_stay_together() -> None:
    scenes = densities(30)
    groups = groups_of(scenes, PAIR)
    for seed in range(20):
        for split in (split_scenes(scenes, groups, seed), split_scenes(scenes, groups, seed, 5, seed % 5)):
            assert sum(set(PAIR) <= set(split[name]) for name in SPLITS) == 1


def test_split_rejects_too_few_scenes() -> None:
    scenes = [*PAIR, "c"]
    with pytest.raises(UserError, match="3 scenes in 2 groups of shared ground are too few for 3 splits"):
        split_scenes(dict.fromkeys(scenes, 5), groups_of(scenes, PAIR), 0)
    with pytest.raises(UserError, match="4 scenes are too few for 5 folds"):
        split_scenes(densities(4), groups_of(densities(4)), 0, folds=5)


@pytest.mark.parametrize(("number", "folds"), [(3, 3), (13, 5), (78, 5), (78, 10)])
def test_each_scene_is_tested_in_one_fold(number: int, folds: int) -> None:
    scenes = densities(number)
    splits = [split_scenes(scenes, groups_of(scenes), 1, folds, fold) for fold in range(folds)]
    assert sorted(scene for split in splits for scene in split["test"]) == sorted(scenes)
    for split in splits:
        assert sorted(scene for name in SPLITS for scene in split[name]) == sorted(scenes)
        assert all(split[name] for name in SPLITS)
        assert abs(len(split["test"]) - number / folds) <= 2


def write(folder: Path, content: object) -> Path:
    path = folder / "split.json"
    path.write_text(json.dumps(content))
    return path


def test_read_split_file_returns_the_sorted_split(tmp_path: Path) -> None:
    given = {"train": ["c", "a"], "val": ["b"], "test": ["d"]}
    assert read_split_file(write(tmp_path, given), groups_of("abcde")) == {
        "train": ["a", "c"],
        "val": ["b"],
        "test": ["d"],
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "should be a valid dictionary"),
        ({"train": ["a"], "val": ["b"]}, "test: Field required"),
        ({"train": ["a"], "val": ["b"], "test": []}, "test: List should have at least 1 item"),
        ({"train": ["a"], "val": ["b"], "test": ["a"]}, r"'a' is listed twice \(train, test\)"),
        ({"train": ["a"], "val": ["b"], "test": ["x"]}, "1 scenes are not in the data set, e.g. 'x'; remove"),
        ({"train": ["a"], "val": ["b"], "test": ["c"]}, "'b' \\(val\\) and 'c' \\(test\\) show the same ground"),
    ],
)
def test_read_split_file_rejects_invalid_splits(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_split_file(write(tmp_path, content), groups_of("abcd", "bc"))


@pytest.mark.parametrize("content", ['{"train": [["a"]], "val": ["b"], "test": ["c"]}', "[" * 100_000])
def test_read_split_file_names_an_invalid_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(UserError, match=r"split\.json: "):
        read_split_file(tmp_path / "split.json", groups_of("abc"))
