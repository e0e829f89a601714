"""Rescale training schedules."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

HOOK_EPOCHS = ("num_last_epochs", "switch_epoch")
"""Arguments of YOLOXModeSwitchHook and PipelineSwitchHook that give the epoch of the switch."""


def keep_epochs(cfg: "Config", processes: int) -> str | None:
    """Divide the length of a schedule by the number of processes, so that the number of epochs does not change.

    mmengine scales the learning rate according to ``auto_scale_lr``. If ``auto_scale_lr`` is missing or disabled, the
    schedule does not change.

    Args:
        cfg: config with a schedule for one process; changed in place.
        processes: number of processes, each with its own batch.

    Returns:
        str | None: message for the log; None if nothing changed.
    """
    if processes == 1 or not (cfg.get("auto_scale_lr") or {}).get("enable"):
        return None
    stretch(cfg, 1 / processes)
    batch = processes * cfg.train_dataloader.batch_size
    message = f"{processes} processes, batch {batch}: learning rate x {batch / cfg.auto_scale_lr.base_batch_size:g}"
    return f"{message}, {cfg.train_cfg.max_iters} iterations" if "max_iters" in cfg.train_cfg else message


def stretch(cfg: "Config", factor: float) -> None:
    """Multiply the numbers of iterations in a schedule; positive numbers stay at least 1.

    Args:
        cfg: config, changed in place; numbers of epochs do not change.
        factor: positive factor.
    """
    if "max_iters" in cfg.train_cfg:
        _multiply(cfg.train_cfg, ("max_iters", "val_interval"), factor)
    _stretch_schedulers(cfg, factor, by_epoch=False)


def stretch_epochs(cfg: "Config", factor: float) -> None:
    """Multiply the numbers of epochs and iterations in a schedule, including warm-up and hooks.

    Args:
        cfg: config with a schedule in epochs, changed in place.
        factor: positive factor.
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
    """Multiply the values of ``keys`` in ``node``, if present; positive values stay at least 1."""
    for key in keys:
        if isinstance(count := node.get(key), list):
            node[key] = [max(1, round(part * factor)) for part in count]
        elif count:
            node[key] = max(1, round(count * factor))
