"""Splits a data set by scene, never by tile."""

from collections.abc import Mapping, Sequence

import numpy as np

SPLITS = ("train", "val", "test")
FRACTIONS = (0.7, 0.15, 0.15)

SAME_GROUND = (("058b9459-27b9-4047-b3ad-ecaa7e42399c", "8e40cbf3-aea6-497c-83ed-5f9929e4ccde"),)
"""Scenes of the Airbus data set that show the same ground (63 % of it)."""


def split_scenes(
    boxes_per_scene: Mapping[str, int], seed: int, same_ground: Sequence[Sequence[str]] = SAME_GROUND
) -> dict[str, list[str]]:
    """Deal scenes to train, val and test, 70 : 15 : 15, with like densities in each.

    Scenes are ordered by their number of boxes, shuffled among neighbours in that order, and each is dealt to the split
    that is furthest behind its share; so every split gets sparse and dense scenes alike.

    Args:
        boxes_per_scene: number of boxes of each scene.
        seed: of the shuffle; equal seeds give equal splits, whatever the mapping's order.
        same_ground: groups of scenes that must stay together.

    Returns:
        dict: sorted scene ids for each of ``train``, ``val``, ``test``; disjoint, together all scenes, none empty.

    Raises:
        ValueError: fewer than three groups of scenes.
    """
    groups = _groups(sorted(boxes_per_scene), same_ground)
    if len(groups) < len(SPLITS):
        raise ValueError(f"{len(groups)} independent scenes cannot make {len(SPLITS)} splits")
    # one run of the deal long: shuffling inside it leaves each split's densities alike
    window = round(1 / min(FRACTIONS))
    rng = np.random.default_rng(seed)
    rank = np.argsort([sum(boxes_per_scene[scene] for scene in group) for group in groups], kind="stable")
    order = np.concatenate([rng.permutation(rank[start : start + window]) for start in range(0, len(rank), window)])

    dealt: dict[str, list[str]] = {split: [] for split in SPLITS}
    # the seed, not the order of names, decides between splits that are equally far behind
    behind = rng.permutation(len(SPLITS)) * 1e-6
    for turn, index in enumerate(order):
        left = len(order) - turn
        empty = [i for i, split in enumerate(SPLITS) if not dealt[split]]
        behind += FRACTIONS
        choice = empty[0] if left == len(empty) else int(np.argmax(behind))
        behind[choice] -= 1
        dealt[SPLITS[choice]] += groups[index]
    return {split: sorted(scenes) for split, scenes in dealt.items()}


def _groups(scenes: list[str], same_ground: Sequence[Sequence[str]]) -> list[list[str]]:
    together = {scene: group[0] for group in same_ground for scene in group}
    groups: dict[str, list[str]] = {}
    for scene in scenes:
        groups.setdefault(together.get(scene, scene), []).append(scene)
    return list(groups.values())
