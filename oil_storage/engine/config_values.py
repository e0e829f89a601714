"""Check the values of a config before anything is written.

mmengine reports most wrong values late, by an internal error, or not at all.
"""

import copy
import difflib
import logging
import math
import traceback
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, OPTIMIZERS

from oil_storage.config import dataset_of
from oil_storage.errors import UserError
from oil_storage.evaluation.dense_coco import NAMES
from oil_storage.figures import metric_key
from oil_storage.manifest import SPLITS

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
WHOLE = {
    "train_cfg.max_iters": 1,
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 1,
    "auto_scale_lr.base_batch_size": 1,
    "optim_wrapper.accumulative_counts": 1,
    "default_hooks.logger.interval": 1,
    "randomness.seed": 0,
    **{f"{loader}.batch_size": 1 for loader in LOADERS},
    **{f"{loader}.num_workers": 0 for loader in LOADERS},
}
"""Minimum of values that must be integers."""
LEAST = {"optim_wrapper.optimizer.lr": 0.0, "optim_wrapper.optimizer.weight_decay": 0.0}
"""Minimum of other numbers. Negative ones would reverse the training."""


def check_values(cfg: Config) -> None:
    """Check numbers and names; raise UserError with the key of the first one that is not valid.

    Args:
        cfg: config after :func:`oil_storage.engine.runner.use_scope`; not changed.
    """
    for problem in _problems(cfg):
        raise UserError(f"{cfg.filename}: {problem}")


def check_buildable(cfg: Config) -> None:
    """Build the model and the optimiser, and discard them; raise UserError if they cannot be built."""
    cfg = copy.deepcopy(cfg)  # mmdet changes the config of a model that it builds
    model = _built("model", cfg, lambda: MODELS.build(cfg.model))
    _built("optim_wrapper", cfg, lambda: build_optim_wrapper(model, cfg.optim_wrapper))


def _problems(cfg: Config) -> Iterator[str]:
    for key, least in WHOLE.items():
        value = _value(cfg, key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            yield f"{key}={value!r}: must be an integer of at least {least}"
    for key, lowest in LEAST.items():
        value = _value(cfg, key)
        if value is not None and not (isinstance(value, int | float) and lowest <= value < math.inf):
            yield f"{key}={value!r}: must be a number of at least {lowest:g}"
    norm = _value(cfg, "optim_wrapper.clip_grad.max_norm")
    if norm is not None and not (isinstance(norm, int | float) and norm > 0):
        yield f"optim_wrapper.clip_grad.max_norm={norm!r}: must be a number above 0; a negative one reverses gradients"
    for key, values in _strides(cfg.model, "model"):
        if not all(isinstance(value, int) and value >= 1 for value in np.ravel(values).tolist()):
            yield f"{key}={values!r}: must be integers of at least 1"
    levels = logging.getLevelNamesMapping()
    yield from _unknown("log_level", cfg.get("log_level"), list(levels))
    optimizer = _value(cfg, "optim_wrapper.optimizer.type")
    if isinstance(optimizer, str) and OPTIMIZERS.get(optimizer) is None:
        yield from _unknown("optim_wrapper.optimizer.type", optimizer, list(OPTIMIZERS.module_dict))
    for loader in LOADERS:
        dataset: Any = dataset_of(cfg, loader) if cfg.get(loader) else {}
        if dataset.get("type") == "OilStorageDataset":
            yield from _unknown(f"{loader}.dataset.split", dataset.get("split"), SPLITS)
    evaluators = cfg.get("val_evaluator") or {}
    kinds = {metric.get("type") for metric in (evaluators if isinstance(evaluators, list) else [evaluators])}
    best = _value(cfg, "default_hooks.checkpoint.save_best")
    if kinds == {"DenseCocoMetric"} and best != "auto":
        for name in best if isinstance(best, list) else [best]:
            yield from _unknown("default_hooks.checkpoint.save_best", name, [metric_key(name) for name in NAMES])


def _strides(node: Any, parent: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of all strides in a model."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in ("stride", "strides"):
            yield f"{parent}.{key}", value
        else:
            yield from _strides(value, f"{parent}.{key}")


def _unknown(key: str, value: Any, names: "list[str] | tuple[str, ...]") -> Iterator[str]:
    if value is not None and value not in names:
        close = difflib.get_close_matches(str(value), names, n=1)
        yield f"{key}={value!r}: no such name; " + (
            f"did you mean {close[0]!r}?" if close else f"use {', '.join(names)}"
        )


def _value(cfg: Config, key: str) -> Any:
    return reduce(lambda node, name: node.get(name) if isinstance(node, dict) else None, key.split("."), cfg._cfg_dict)


def _built(key: str, cfg: Config, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except UserError:
        raise
    except Exception as error:  # a wrong value can raise any exception
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}"
        reason = (str(error).splitlines() or [place])[0].partition(". ")[0]
        raise UserError(
            f"{cfg.filename}: {key} cannot be built ({type(error).__name__}: {reason:.200}); correct its values"
        ) from error
