"""Split a data set by scene, never by tile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from oil_storage.errors import UserError
from oil_storage.files import read_json, validated
from oil_storage.manifest import Split, check_no_leak

FRACTIONS = (0.7, 0.15, 0.15)
SceneIds = Annotated[list[str], Field(min_length=1)]


class _SplitFile(BaseModel, extra="forbid"):
    train: SceneIds
    val: SceneIds
    test: SceneIds


def split_scenes(
    boxes_per_scene: Mapping[str, int],
    groups: Sequence[Sequence[str]],
    seed: int,
    folds: int | None = None,
    fold: int = 0,
) -> Split:
    """Split scenes into train, val and test, so that scenes with few and with many boxes occur in each split.

    Groups are sorted by their number of boxes and shuffled locally. Each group then goes to the split that is furthest
    below its target number of groups. The same seed gives the same split.

    Args:
        boxes_per_scene: number of boxes of each scene.
        groups: sorted groups of scenes that show the same ground and must stay together; each scene is in one group.
        seed: seed of the shuffling.
        folds: number of folds: one for testing, the next for validation, the others for training. None splits the
            scenes by :data:`FRACTIONS`.
        fold: index of the test fold, from 0.

    Raises:
        UserError: there are fewer groups than splits or folds.
    """
    fractions = [1 / folds] * folds if folds else FRACTIONS
    if len(groups) < len(fractions):
        scenes = f"{len(boxes_per_scene)} scenes"
        if len(groups) < len(boxes_per_scene):
            scenes += f" in {len(groups)} groups of shared ground"
        parts = "folds; add scenes, or reduce --folds" if folds else "splits; add scenes"
        raise UserError(f"{scenes} are too few for {len(fractions)} {parts}")
    dealt = _deal(groups, boxes_per_scene, fractions, seed)
    if folds:
        test, val, *others = dealt[fold:] + dealt[:fold]
        train = [scene for part in others for scene in part]
    else:
        train, val, test = dealt
    return {"train": sorted(train), "val": sorted(val), "test": sorted(test)}


def read_split_file(path: Path, groups: Sequence[Sequence[str]]) -> Split:
    """Read a split file: ``{"train": [scene ids], "val": [...], "test": [...]}``.

    Scenes that the file does not list belong to no split. For ``groups``, see :func:`split_scenes`.

    Raises:
        UserError: the file is invalid, lists a scene twice, lists an unknown scene, or separates scenes that show the
            same ground.
    """
    split: Split = validated(read_json(path), _SplitFile, path).model_dump()
    split_of: dict[str, str] = {}
    for name, members in split.items():
        for scene in members:
            if scene in split_of:
                raise UserError(f"{path}: scene {scene!r} is listed twice ({split_of[scene]}, {name}); list it once")
            split_of[scene] = name
    if unknown := sorted(set(split_of).difference(*groups)):
        raise UserError(f"{path}: {len(unknown)} scenes are not in the data set, e.g. {unknown[0]!r}; remove them")
    check_no_leak(split_of, groups, path)
    return {name: sorted(members) for name, members in split.items()}


def _deal(
    groups: Sequence[Sequence[str]], boxes_per_scene: Mapping[str, int], fractions: Sequence[float], seed: int
) -> list[list[str]]:
    """Distribute groups of scenes over parts; each part gets its fraction of the groups, and at least one group."""
    # shuffling only within a window keeps the densities of the parts similar
    window = round(1 / min(fractions))
    rng = np.random.default_rng(seed)
    rank = np.argsort([sum(boxes_per_scene[scene] for scene in group) for group in groups], kind="stable")
    order = np.concatenate([rng.permutation(rank[start : start + window]) for start in range(0, len(rank), window)])
    dealt: list[list[str]] = [[] for _ in fractions]
    # break ties by the seed, not by the order of names
    behind = rng.permutation(len(fractions)) * 1e-6
    for turn, index in enumerate(order):
        left = len(order) - turn
        empty = [part for part, scenes in enumerate(dealt) if not scenes]
        behind += fractions
        choice = empty[0] if left == len(empty) else int(np.argmax(behind))
        behind[choice] -= 1
        dealt[choice] += groups[index]
    return dealt
