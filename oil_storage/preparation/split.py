"""Splits a data set by scene, never by tile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from oil_storage.errors import UserError, first_problem
from oil_storage.manifest import Split, check_no_leak

FRACTIONS = (0.7, 0.15, 0.15)
FORM = '{"train": [scene ids], "val": [scene ids], "test": [scene ids]}'

Members = Annotated[list[str], Field(min_length=1)]


class _SplitFile(BaseModel, extra="forbid"):
    train: Members
    val: Members
    test: Members


def split_scenes(
    boxes_per_scene: Mapping[str, int],
    groups: Sequence[Sequence[str]],
    seed: int,
    folds: int | None = None,
    fold: int = 0,
) -> Split:
    """Deal scenes to train, val and test with like densities in each.

    Scenes are ordered by their number of boxes, shuffled among neighbours in that order, and each is dealt to the part
    that is furthest behind its share; so every part gets sparse and dense scenes alike. Equal seeds give equal splits.

    Args:
        boxes_per_scene: number of boxes of each scene.
        groups: scenes that show the same ground and stay together, sorted; every scene is in one of the groups.
        seed: of the shuffling.
        folds: number of equal parts, of which one tests, the next validates, and the others train. None splits
            70 : 15 : 15.
        fold: the part that tests, counted from 0.

    Raises:
        UserError: fewer groups than parts.
    """
    fractions = [1 / folds] * folds if folds else FRACTIONS
    if len(groups) < len(fractions):
        scenes = f"{len(boxes_per_scene)} scenes"
        if len(groups) < len(boxes_per_scene):
            scenes += f" on {len(groups)} grounds, some the same,"
        parts = "folds" if folds else "splits"
        raise UserError(f"{scenes} cannot make {len(fractions)} {parts}; each split needs a scene")
    dealt = _deal(groups, boxes_per_scene, fractions, seed)
    if folds:
        test, val, *others = dealt[fold:] + dealt[:fold]
        train = [scene for part in others for scene in part]
    else:
        train, val, test = dealt
    return {"train": sorted(train), "val": sorted(val), "test": sorted(test)}


def read_split_file(path: Path, groups: Sequence[Sequence[str]]) -> Split:
    """Read a given split: json, ``{"train": [scene ids], "val": [...], "test": [...]}``.

    Scenes that the file does not name are in no split; ``groups`` are those of :func:`split_scenes`.

    Raises:
        UserError: not such a file, a scene is named twice or is not there, a split is empty, or scenes that show the
            same ground are in different splits.
    """
    try:
        split: Split = _SplitFile.model_validate_json(path.read_bytes()).model_dump()
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; must be {FORM}") from error
    split_of: dict[str, str] = {}
    for name, members in split.items():
        for scene in members:
            if scene in split_of:
                raise UserError(f"{path}: names {scene!r} in {split_of[scene]!r} and again in {name!r}")
            split_of[scene] = name
    if absent := sorted(set(split_of).difference(*groups)):
        raise UserError(f"{path}: names {len(absent)} scenes that are not there, {absent[0]!r} first")
    check_no_leak(split_of, groups, path)
    return {name: sorted(members) for name, members in split.items()}


def _deal(
    groups: Sequence[Sequence[str]], boxes_per_scene: Mapping[str, int], fractions: Sequence[float], seed: int
) -> list[list[str]]:
    """Deal groups of scenes to parts of these fractions, none empty."""
    # shuffling within windows of one round of the deal keeps the densities of the parts alike
    window = round(1 / min(fractions))
    rng = np.random.default_rng(seed)
    rank = np.argsort([sum(boxes_per_scene[scene] for scene in group) for group in groups], kind="stable")
    order = np.concatenate([rng.permutation(rank[start : start + window]) for start in range(0, len(rank), window)])
    dealt: list[list[str]] = [[] for _ in fractions]
    # the seed, not the order of names, decides between parts that are equally far behind
    behind = rng.permutation(len(fractions)) * 1e-6
    for turn, index in enumerate(order):
        left = len(order) - turn
        empty = [part for part, scenes in enumerate(dealt) if not scenes]
        behind += fractions
        choice = empty[0] if left == len(empty) else int(np.argmax(behind))
        behind[choice] -= 1
        dealt[choice] += groups[index]
    return dealt
