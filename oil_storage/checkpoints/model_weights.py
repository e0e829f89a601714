"""Load checkpoints into models. Fine-tuning loads the weights that fit; otherwise, all weights must match."""

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

BACKBONE = "backbone."
"""Prefix of the names of a backbone's tensors."""
DEPTH = 3
"""Number of modules around a backbone, at most, in the files of other programs."""
LISTED = 12
"""Maximum number of modules that a log line names."""
QUERIES = re.compile(r"(^|\.)query_embedding\.weight$")
"""Pattern for the name of DETR's learnt queries, ``(N, C)``, whose number N is adapted to the model."""
JITTER = 0.1
"""Standard deviation of the noise added to repeated queries, divided by the standard deviation of the queries."""


@dataclass(frozen=True)
class LoadReport:
    """Result of matching a checkpoint to a model.

    Attributes:
        loaded: keys of the model that are loaded from the checkpoint.
        renamed: keys in ``loaded`` that have another name in the checkpoint.
        tiled: keys in ``loaded`` of queries that were truncated or repeated.
        reinitialised: keys of the model that are not loaded, except the step counters of batch norm.
        unused: keys of the checkpoint (after renaming) that are not loaded.
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
            f"  truncated, or repeated with noise: {', '.join(self.tiled) or 'none'}\n"
            f"  {len(self.reinitialised)} re-initialised: {modules(self.reinitialised, self.loaded)}\n"
            f"  {len(self.unused)} unused in the checkpoint: {modules(self.unused, self.loaded)}"
        )


def match_weights(
    state_dict: Mapping[str, Tensor], model: nn.Module, renames: Sequence[tuple[str, str]] = ()
) -> tuple[dict[str, Tensor], LoadReport]:
    """Select the tensors of a checkpoint that fit a model.

    If the shape of one tensor differs, no tensor of its module is loaded, because a bias is meaningless without its
    weight. DETR's queries are truncated, or repeated with noise, to match their number in the model.

    Files of timm, torchvision and others name the tensors of a backbone without ``backbone.``, or within other modules.
    If more than twice as many tensors fit then, these modules are replaced by ``backbone``.

    Args:
        state_dict: tensors of the checkpoint.
        model: target model; it is not changed.
        renames: pairs of pattern and replacement for :func:`re.sub`. The first pattern that matches a key renames it.

    Returns:
        tuple: tensors to load, by their keys in the model, and the report.

    Raises:
        UserError: ``renames`` give two tensors the same name.
    """
    weights = _bare(state_dict)
    names = {}
    for key in weights:
        rename = next((rename for rename in renames if re.search(rename[0], key)), None)
        names[key] = re.sub(*rename, key) if rename else key
    if len(set(names.values())) < len(weights):
        (name, _), *_ = Counter(names.values()).most_common(1)
        raise UserError(f"renames={list(renames)}: two tensors get the name {name}; correct the patterns")
    target = model.state_dict()
    names = _in_backbone(names, weights, target)
    source = {names[key]: value for key, value in weights.items()}
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


def _in_backbone(names: dict[str, str], weights: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, str]:
    """Rename the tensors of a backbone if its name in the checkpoint differs from ``backbone.``.

    Args:
        names: name of each tensor so far, by its key in ``weights``.
        weights: tensors of the checkpoint.
        target: tensors of the model.
    """

    def fitting(names: Mapping[str, str]) -> int:
        return sum(name in target and target[name].shape == weights[key].shape for key, name in names.items())

    outer = {"", *(f"{module}." for name in names.values() for module in list(_parents(name))[:-1][:DEPTH])}
    best, most = names, 2 * fitting(names)
    for prefix in sorted(outer):
        moved = dict(names)
        for key, name in names.items():
            inner = BACKBONE + name.removeprefix(prefix)
            if name.startswith(prefix) and inner in target:
                moved[key] = inner
        if len(set(moved.values())) == len(moved) and fitting(moved) > most:
            best, most = moved, fitting(moved)
    return best


def _tile(queries: Tensor, number: int) -> Tensor:
    """Truncate or repeat queries ``(N, C)`` to ``(number, C)``; add noise to all but the first N."""
    times = -(-number // len(queries))
    tiled = queries.repeat(times, 1)[:number]
    noise = torch.randn(tiled.shape, generator=torch.Generator().manual_seed(0), dtype=tiled.dtype)
    tiled[len(queries) :] += JITTER * queries.std() * noise[len(queries) :]
    return tiled


def check_matches(model: nn.Module, state_dict: Mapping[str, Tensor], name: str | Path) -> None:
    """Check that weights match a model exactly. mmengine only warns if they do not match.

    The model can be wrapped for distributed training or test-time augmentation. The step counters of batch norm can be
    missing, because old checkpoints lack them.

    Raises:
        UserError: a tensor is missing, unexpected, or has another shape.
    """
    source, target = _bare(state_dict), _unwrapped(model).state_dict()
    shared = [key for key in source if key in target]
    same = {key for key in shared if source[key].shape == target[key].shape}
    mismatches = {
        "missing": [key for key in target if key not in source and not _is_counter(key)],
        "unexpected": [key for key in source if key not in target],
        "with another shape": [key for key in shared if key not in same],
    }
    counts = [f"{len(keys)} {mismatch} ({modules(keys, same)})" for mismatch, keys in mismatches.items() if keys]
    if counts:
        raise UserError(f"{name}: belongs to another model: {', '.join(counts)};\nuse the config of its training run")


def build_model(cfg: Config, checkpoint: Checkpoint) -> nn.Module:
    """Build the model of a config for inference and load a checkpoint; see :func:`check_matches`."""
    model: nn.Module = MODELS.build(cfg.model)
    check_matches(model, checkpoint.state_dict, checkpoint.path)
    _unwrapped(model).load_state_dict(_bare(checkpoint.state_dict), strict=False)
    return model.eval()


@HOOKS.register_module()
class PretrainedReportHook(Hook):
    """Hook that loads the fitting part of a checkpoint (:func:`match_weights`) and logs a :class:`LoadReport`.

    For testing and resumption, the checkpoint must match exactly (:func:`check_matches`).

    Args:
        renames: see :func:`match_weights`.
    """

    priority = "ABOVE_NORMAL"  # before EMAHook (NORMAL) copies the weights

    def __init__(self, renames: Iterable[Sequence[str]] = ()) -> None:
        self.renames = [(pattern, replacement) for pattern, replacement in renames]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replace ``checkpoint["state_dict"]`` by the weights to load."""
        name = str(runner._load_from or "the last checkpoint")
        model = _unwrapped(runner.model)
        # mmengine builds the optimiser only for training
        if runner._resume or not isinstance(runner.optim_wrapper, BaseOptimWrapper):
            check_matches(model, checkpoint["state_dict"], name)
            return
        fitting, report = match_weights(checkpoint["state_dict"], model, self.renames)
        if not fitting:
            raise UserError(f"{name}: belongs to another model: none of its tensors fits; use another checkpoint")
        # a complete state dict avoids mmengine's warnings, and EMAHook copies it
        checkpoint["state_dict"] = model.state_dict()
        checkpoint["state_dict"].update(fitting)
        runner.logger.info(f"{name}: {report}")


def _unwrapped(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule("module")
    return model


def _bare(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix ``module.`` of distributed training from the names."""
    return {key.removeprefix("module."): value for key, value in state_dict.items()}


def _module(key: str) -> str:
    """Return the name of the module that owns a tensor, or the tensor's own name if the root module owns it."""
    return key.rpartition(".")[0] or key


def _is_counter(key: str) -> bool:
    """Return whether a tensor is the step counter of a batch norm, which is used only if the momentum is None."""
    return key.endswith("num_batches_tracked")


def modules(keys: Iterable[str], others: Iterable[str]) -> str:
    """List the outermost modules that contain ``keys`` but none of ``others``, for a log line."""
    mixed = {module for key in others for module in _parents(key)}
    names = list(dict.fromkeys(next(module for module in _parents(key) if module not in mixed) for key in keys))
    more = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return ", ".join(names[:LISTED] + more) or "none"


def _parents(key: str) -> Iterable[str]:
    """Return the names of the modules that contain a tensor, outermost first, and then the name of the tensor."""
    return accumulate(key.split("."), "{}.{}".format)
