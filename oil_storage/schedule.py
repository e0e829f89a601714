"""Schedules made shorter or longer as a whole."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

HOOK_EPOCHS = ("num_last_epochs", "switch_epoch")
"""What hooks call the epochs in which they change the pipeline: YOLOXModeSwitchHook, PipelineSwitchHook."""


def keep_epochs(cfg: "Config", processes: int) -> str | None:
    """Shorten a schedule by the number of processes, as each iteration takes so many times the samples.

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
    stretch(cfg, 1 / processes)
    batch = processes * cfg.train_dataloader.batch_size
    message = f"{processes} processes, batch {batch}: learning rate x {batch / cfg.auto_scale_lr.base_batch_size:g}"
    return f"{message}, {cfg.train_cfg.max_iters} iterations" if "max_iters" in cfg.train_cfg else message


def stretch(cfg: "Config", factor: float) -> None:
    """Multiply what a config counts in iterations, so that the schedule keeps its shape; nothing becomes empty.

    Args:
        cfg: changed in place; what it counts in epochs stays.
        factor: > 0.
    """
    if "max_iters" in cfg.train_cfg:
        _multiply(cfg.train_cfg, ("max_iters", "val_interval"), factor)
    _stretch_schedulers(cfg, factor, by_epoch=False)


def stretch_epochs(cfg: "Config", factor: float) -> None:
    """Multiply all that a config with epochs counts, warm-ups in iterations and the epochs of its hooks included.

    Args:
        cfg: changed in place.
        factor: > 0.
    """
    _multiply(cfg.train_cfg, ("max_epochs", "val_interval"), factor)
    for by_epoch in (False, True):
        _stretch_schedulers(cfg, factor, by_epoch)
    for hook in cfg.get("custom_hooks") or []:
        _multiply(hook, HOOK_EPOCHS, factor)


def _stretch_schedulers(cfg: "Config", factor: float, by_epoch: bool) -> None:
    schedulers = cfg.get("param_scheduler") or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        if scheduler.get("by_epoch", True) != by_epoch:
            continue
        _multiply(scheduler, ("begin", "end", "T_max", "milestones"), factor)
        if scheduler.get("end") is not None:
            scheduler.end = max(scheduler.end, scheduler.get("begin", 0) + 1)


def _multiply(node: Any, keys: Iterable[str], factor: float) -> None:
    """Multiply the counts that ``node`` has under some of ``keys``; none but 0 becomes 0."""
    for key in keys:
        if isinstance(count := node.get(key), list):
            node[key] = [max(1, round(part * factor)) for part in count]
        elif count:
            node[key] = max(1, round(count * factor))
