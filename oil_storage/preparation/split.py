"""Splits a data set by scene, never by tile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from oil_storage.errors import UserError, first_problem
from oil_storage.manifest import SPLITS, Split, check_no_leak

FRACTIONS = (0.7, 0.15, 0.15)
FORM = '{"train": [scene ids], "val": [scene ids], "test": [scene ids]}'

Members = Annotated[list[str], Field(min_length=1)]


class _SplitFile(BaseModel, extra="forbid"):
    train: Members
    val: Members
    test: Members


def split_scenes(boxes_per_scene: Mapping[str, int], seed: int, same_ground: Sequence[Sequence[str]] = ()) -> Split:
    """Deal scenes to train, val and test, 70 : 15 : 15, with like densities in each.

    Scenes are ordered by their number of boxes, shuffled among neighbours in that order, and each is dealt to the split
    that is furthest behind its share; so every split gets sparse and dense scenes alike.

    Equal seeds give equal splits, whatever the mapping's order. Groups of ``same_ground`` stay together. Every scene is
    in a split, and no split is empty.

    Raises:
        ValueError: fewer than three groups of scenes.
    """
    groups = _groups(sorted(boxes_per_scene), same_ground)
    if len(groups) < len(SPLITS):
        raise ValueError(f"{_count(groups)} cannot make {len(SPLITS)} splits")
    parts = _deal(groups, boxes_per_scene, FRACTIONS, seed)
    return {split: sorted(part) for split, part in zip(SPLITS, parts, strict=True)}


def fold_scenes(
    boxes_per_scene: Mapping[str, int], folds: int, fold: int, seed: int, same_ground: Sequence[Sequence[str]] = ()
) -> Split:
    """Cut scenes into folds of like size and density; one is tested on, the next validates, the others train.

    Over all values of ``fold``, counted from 0, every scene is in test once, given one seed. Groups of ``same_ground``
    stay together.

    Raises:
        ValueError: fewer than three folds, no such fold, or fewer groups of scenes than folds.
    """
    if folds < len(SPLITS) or not 0 <= fold < folds:
        raise ValueError(f"fold {fold} of {folds}: there must be at least {len(SPLITS)}, counted from 0")
    groups = _groups(sorted(boxes_per_scene), same_ground)
    if len(groups) < folds:
        raise ValueError(f"{_count(groups)} cannot make {folds} folds")
    parts = _deal(groups, boxes_per_scene, [1 / folds] * folds, seed)
    validating = (fold + 1) % folds
    training = [scene for index, part in enumerate(parts) if index not in (fold, validating) for scene in part]
    return {"train": sorted(training), "val": sorted(parts[validating]), "test": sorted(parts[fold])}


def read_split_file(path: Path, scenes: Sequence[str], same_ground: Sequence[Sequence[str]] = ()) -> Split:
    """Read a given split: json, ``{"train": [scene ids], "val": [...], "test": [...]}``.

    Scenes that the file does not name are in no split.

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
    if absent := sorted(set(split_of) - set(scenes)):
        raise UserError(f"{path}: names {len(absent)} scenes that are not there, {absent[0]!r} first")
    check_no_leak(split_of, same_ground, path)
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


def _count(groups: Sequence[Sequence[str]]) -> str:
    scenes = sum(len(group) for group in groups)
    return f"{scenes} scenes" if scenes == len(groups) else f"{scenes} scenes on {len(groups)} grounds, some the same,"


def _groups(scenes: list[str], same_ground: Sequence[Sequence[str]]) -> list[list[str]]:
    """Group scenes that must stay together; the others stand alone."""
    together = {scene: group[0] for group in same_ground for scene in group}
    groups: dict[str, list[str]] = {}
    for scene in scenes:
        groups.setdefault(together.get(scene, scene), []).append(scene)
    return list(groups.values())
