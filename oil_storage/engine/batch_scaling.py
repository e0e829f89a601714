"""The same epochs on another number of processes: mmengine scales the learning rate, this the schedule's length."""

import math
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config


def keep_epochs(cfg: Config, processes: int) -> str | None:
    """Shorten what a config counts in iterations, as each iteration takes ``processes`` times as many samples.

    Learning rates are left to mmengine, which scales them by ``auto_scale_lr``; without that, or with its ``enable``
    False, nothing changes.

    Args:
        cfg: its schedule is written for one process; changed in place.
        processes: each with a batch of its own.

    Returns:
        str | None: what was done, for a log; None where nothing was.
    """
    if processes == 1 or not (cfg.get("auto_scale_lr") or {}).get("enable"):
        return None
    shortened = [(place, key) for place, key in _iterations(cfg) if place[key] is not None]
    for place, key in shortened:
        place[key] = _divided(place[key], processes)
    batch = processes * cfg.train_dataloader.batch_size
    told = f"{processes} processes, batch {batch}: learning rate x {batch / cfg.auto_scale_lr.base_batch_size:g}"
    return f"{told}, {cfg.train_cfg.max_iters} iterations" if "max_iters" in cfg.train_cfg else told


def _iterations(cfg: Config) -> Iterator[tuple[Any, str]]:
    """Places of a config that count iterations."""
    if "max_iters" in cfg.train_cfg:
        yield from ((cfg.train_cfg, key) for key in ("max_iters", "val_interval") if key in cfg.train_cfg)
    schedulers = cfg.get("param_scheduler") or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        if not scheduler.get("by_epoch", True):
            yield from ((scheduler, key) for key in ("begin", "end", "T_max", "milestones") if key in scheduler)


def _divided(count: Any, processes: int) -> Any:
    if isinstance(count, list):
        return [_divided(one, processes) for one in count]
    return math.ceil(count / processes)
