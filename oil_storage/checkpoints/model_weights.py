"""Match the weights of a checkpoint to a model: all of them, or those that fit when a training starts."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.errors import UserError

LISTED = 12
"""Modules named in a line before "and N more"."""
QUERIES = re.compile(r"(^|\.)query_embedding\.weight$")
"""DETR's learnt queries, ``(N, C)``, the only tensors that are kept if their shape differs."""
JITTER = 0.1
"""Standard deviation of the noise in repeated queries, as a multiple of the queries' own."""


@dataclass(frozen=True)
class LoadReport:
    """Keys of a checkpoint and a model, after matching.

    Attributes:
        loaded: keys of the model that the checkpoint fills.
        renamed: those of them that the checkpoint has by another name.
        tiled: those of them that are repeated queries.
        reinitialised: the model's other keys, without the step counters of batch norm.
        unused: the checkpoint's other keys, after renaming.
    """

    loaded: Sequence[str]
    renamed: Sequence[str]
    tiled: Sequence[str]
    reinitialised: Sequence[str]
    unused: Sequence[str]

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} tensors loaded, {len(self.renamed)} of them renamed\n"
            f"  renamed to: {modules(self.renamed, set(self.loaded) - set(self.renamed))}\n"
            f"  repeated with noise: {', '.join(self.tiled) or 'none'}\n"
            f"  {len(self.reinitialised)} re-initialised: {modules(self.reinitialised, self.loaded)}\n"
            f"  {len(self.unused)} unused in the checkpoint: {modules(self.unused, self.loaded)}"
        )


def match_weights(
    state_dict: Mapping[str, Tensor], model: nn.Module, renames: Sequence[tuple[str, str]] = ()
) -> tuple[dict[str, Tensor], LoadReport]:
    """Select the tensors of a checkpoint that fit a model.

    If one tensor of a module has another shape, none of the module's is taken: the old bias of a new convolution would
    be noise. DETR's queries are repeated, with noise, or cut off if the model has more or fewer.

    Args:
        state_dict: the checkpoint's tensors.
        model: the model to fill; it is not changed.
        renames: ``(pattern, replacement)`` of :func:`re.sub`; the first pattern found in a key renames it.

    Returns:
        tuple: a state dict whose keys and shapes are the model's, and the report.

    Raises:
        UserError: two keys have been given one name.
    """
    weights = _bare(state_dict)
    names = {}
    for key in weights:
        rename = next((rename for rename in renames if re.search(rename[0], key)), None)
        names[key] = re.sub(*rename, key) if rename else key
    source = {names[key]: value for key, value in weights.items()}
    if len(source) < len(weights):
        (name, _), *_ = Counter(names.values()).most_common(1)
        raise UserError(f"renames={list(renames)}: two tensors of the checkpoint become {name}")
    target = model.state_dict()
    shared = [key for key in source if key in target]
    tiled = [key for key in shared if QUERIES.search(key) and len(source[key]) != len(target[key])]
    source.update((key, _tile(source[key], len(target[key]))) for key in tiled)
    refused = {_module(key) for key in shared if source[key].shape != target[key].shape}
    fitting = {key: source[key] for key in shared if _module(key) not in refused}
    return fitting, LoadReport(
        loaded=list(fitting),
        renamed=[new for old, new in names.items() if new != old and new in fitting],
        tiled=[key for key in fitting if key in tiled],
        reinitialised=[key for key in target if key not in fitting and not _is_counter(key)],
        unused=[key for key in source if key not in fitting],
    )


def _tile(queries: Tensor, number: int) -> Tensor:
    """Repeat queries ``(N, C)`` to ``(number, C)``, with noise in all but the first N."""
    times = -(-number // len(queries))
    tiled = queries.repeat(times, 1)[:number]
    noise = torch.randn(tiled.shape, generator=torch.Generator().manual_seed(0), dtype=tiled.dtype)
    tiled[len(queries) :] += JITTER * queries.std() * noise[len(queries) :]
    return tiled


def check_matches(model: nn.Module, state_dict: Mapping[str, Tensor], name: str | Path) -> None:
    """Refuse weights that are not exactly those of a model; mmengine only warns.

    The model may be wrapped for distributed training or test-time augmentation. The step counters of batch norm may be
    absent, as in old checkpoints.

    Raises:
        UserError: a tensor is missing, unexpected, or of another shape.
    """
    source, target = _bare(state_dict), _unwrapped(model).state_dict()
    shared = [key for key in source if key in target]
    same = {key for key in shared if source[key].shape == target[key].shape}
    mismatches = {
        "missing": [key for key in target if key not in source and not _is_counter(key)],
        "unexpected": [key for key in source if key not in target],
        "of another shape": [key for key in shared if key not in same],
    }
    counts = [f"{len(keys)} {mismatch} ({modules(keys, same)})" for mismatch, keys in mismatches.items() if keys]
    if counts:
        raise UserError(
            f"{name}: checkpoint of another model: {', '.join(counts)}\nuse the config that it was trained with"
        )


def build_model(cfg: Config, checkpoint: Checkpoint) -> nn.Module:
    """Build a config's model for prediction, with the weights of a checkpoint; see :func:`check_matches`."""
    model: nn.Module = MODELS.build(cfg.model)
    check_matches(model, checkpoint.state_dict, checkpoint.path)
    _unwrapped(model).load_state_dict(_bare(checkpoint.state_dict), strict=False)
    return model.eval()


@HOOKS.register_module()
class PretrainedReportHook(Hook):
    """Match a checkpoint to the model that starts from it, by :func:`match_weights`, and log the :class:`LoadReport`.

    In testing and resuming the checkpoint must be the model's own: it is checked and not changed.
    """

    priority = "ABOVE_NORMAL"  # before EMAHook (NORMAL) copies what is loaded

    def __init__(self, renames: Iterable[Sequence[str]] = ()) -> None:
        self.renames = [(pattern, replacement) for pattern, replacement in renames]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replace ``checkpoint["state_dict"]`` before mmengine loads it."""
        name = str(runner._load_from or "the last checkpoint")
        model = _unwrapped(runner.model)
        # mmengine builds the optimiser for training only.
        if runner._resume or not isinstance(runner.optim_wrapper, BaseOptimWrapper):
            check_matches(model, checkpoint["state_dict"], name)
            return
        fitting, report = match_weights(checkpoint["state_dict"], model, self.renames)
        if not fitting:
            raise UserError(f"{name}: checkpoint of another model: not one of its tensors fits this config's")
        # The model's own tensors are added: mmengine finds nothing missing, and EMAHook copies them too.
        checkpoint["state_dict"] = model.state_dict()
        checkpoint["state_dict"].update(fitting)
        runner.logger.info(f"{name}: {report}")


def _unwrapped(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule("module")
    return model


def _bare(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by the names that they have in a model that is not wrapped for distributed training."""
    return {key.removeprefix("module."): value for key, value in state_dict.items()}


def _module(key: str) -> str:
    """Return the module that owns a tensor; a tensor of the model itself stands for itself."""
    return key.rpartition(".")[0] or key


def _is_counter(key: str) -> bool:
    """Return whether a tensor counts the steps of a batch norm, which uses them only if its momentum is None."""
    return key.endswith("num_batches_tracked")


def modules(keys: Iterable[str], others: Iterable[str]) -> str:
    """Return the outermost modules that hold all of ``keys`` and none of ``others``, for a log line."""
    mixed = {module for key in others for module in _parents(key)}
    names = list(dict.fromkeys(next(module for module in _parents(key) if module not in mixed) for key in keys))
    more = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return ", ".join(names[:LISTED] + more) or "none"


def _parents(key: str) -> Iterable[str]:
    """Return the modules that a tensor is in, outermost first, and itself."""
    return accumulate(key.split("."), "{}.{}".format)
