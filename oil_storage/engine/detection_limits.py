"""Whether what a config says of a detector's answer can be meant: thresholds, and how many detections it returns."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError
from oil_storage.manifest import Manifest

SHARES = {"score_thr": (0.0, 1.0), "iou_threshold": (0.0, 1.0), "vote_iou": (0.0, 1.0)}
"""Keys of ``test_cfg`` at any depth, with the least and the greatest value that can be meant."""
MOST = "max_per_img"


def check(model: Any) -> None:
    """Refuse numbers that would silently empty a detector's answer, or stop it in its first validation.

    Args:
        model: of a config.

    Raises:
        UserError: names the number and what it may be.
    """
    for place, key, value in _numbers(model.get("test_cfg") or {}, "model.test_cfg"):
        low, high = SHARES.get(key, (1, math.inf))
        if isinstance(value, int | float) and not low <= value <= high:
            ought = f"be from {low:g} to {high:g}" if key in SHARES else "be at least 1"
            raise UserError(f"{place}={value}: must {ought}")
    queries, most = model.get("num_queries"), (model.get("test_cfg") or {}).get(MOST)
    if queries is not None and most is not None and most > queries:
        raise UserError(f"model.test_cfg.{MOST}={most}: more than the queries, model.num_queries={queries}")


def too_few(cfg: Any, loader: str) -> str | None:
    """A warning where a tile holds more tanks than the detector returns, None otherwise.

    Args:
        cfg: config whose loader gives tiles of ``tools/prepare_dataset.py``; of others nothing is said.
        loader: e.g. ``val_dataloader``.
    """
    dataset: Any = (cfg.get(loader) or {}).get("dataset") or {}
    if dataset.get("type") != "OilStorageDataset":
        return None
    tiles = Manifest.load(Path(dataset.data_root)).tiles[f"{dataset.tile}_{dataset.overlap}"]
    densest = tiles.counts(dataset.split).densest
    numbers = _numbers(cfg.model.get("test_cfg") or {}, "model.test_cfg")
    for place, key, value in numbers:
        if key == MOST and value is not None and value < densest and ".rpn." not in place:
            return f"warning: a tile of {dataset.split} holds {densest} tanks, found are {value} at most: {place}"
    return None


def _numbers(node: Any, place: str) -> Iterator[tuple[str, str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{place}.{key}")
        elif key in SHARES or key == MOST:
            yield f"{place}.{key}", key, value
