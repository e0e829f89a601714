"""Match the weights of a checkpoint to a model: all of them, or, to start a training, those that fit."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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

LISTED = 12  # modules named in a line before "and N more"
QUERIES = re.compile(r"(^|\.)query_embedding\.weight$")
"""DETR's learnt queries, ``(N, C)``: of the tensors of another shape the only ones that are worth keeping."""
JITTER = 0.1
"""Standard deviation of the noise that tells repeated queries apart, as a multiple of the queries' own."""


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint, by the keys of the model's state dict.

    Invariant: ``loaded`` and ``reinitialised`` are disjoint and, but for BN's step counters, all of the model's keys;
    ``renamed`` and ``tiled`` are parts of ``loaded``; ``unused`` are the checkpoint's other keys, after renaming.
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


def fit(
    state_dict: Mapping[str, Tensor], model: nn.Module, renames: Sequence[tuple[str, str]] = ()
) -> tuple["OrderedDict[str, Tensor]", LoadReport]:
    """Keep of a checkpoint what fits a model.

    A module of which one tensor has another shape is left as the model initialised it, whole: the old bias of a new
    convolution would be noise. DETR's queries are repeated, with noise, or cut off where the model has more or fewer.

    Args:
        state_dict: the checkpoint's tensors.
        model: what they are for; it is not changed.
        renames: ``(pattern, replacement)`` of :func:`re.sub`; the first pattern found in a key renames it.

    Returns:
        tuple: a state dict whose keys and shapes are the model's, and the report.

    Raises:
        UserError: two keys have been given one name.
    """
    source: OrderedDict[str, Tensor] = OrderedDict()
    renamed = set()
    for key, value in state_dict.items():
        old = key.removeprefix("module.")
        new = next((re.sub(*rename, old) for rename in renames if re.search(rename[0], old)), old)
        if new in source:
            raise UserError(f"renames={list(renames)}: two tensors of the checkpoint become {new}")
        source[new] = value
        if new != old:
            renamed.add(new)
    target = model.state_dict()
    tiled = [key for key in source if key in target and _is_tiled(key, source[key], target[key])]
    source.update((key, _tile(source[key], len(target[key]))) for key in tiled)
    refused = {_module(key) for key in source if key in target and source[key].shape != target[key].shape}
    fitting = OrderedDict((key, v) for key, v in source.items() if key in target and _module(key) not in refused)
    return fitting, LoadReport(
        loaded=list(fitting),
        renamed=[key for key in fitting if key in renamed],
        tiled=tiled,
        reinitialised=[key for key in target if key not in fitting and not _is_counter(key)],
        unused=[key for key in source if key not in fitting],
    )


def _is_tiled(key: str, old: Tensor, new: Tensor) -> bool:
    return QUERIES.search(key) is not None and old.shape[1:] == new.shape[1:] and len(old) != len(new)


def _tile(queries: Tensor, number: int) -> Tensor:
    """Map ``(N, C)`` to ``(number, C)``: the queries, and then they again with noise."""
    times = -(-number // len(queries))
    tiled = queries.repeat(times, 1)[:number]
    noise = torch.randn(tiled.shape, generator=torch.Generator().manual_seed(0), dtype=tiled.dtype)
    tiled[len(queries) :] += JITTER * queries.std() * noise[len(queries) :]
    return tiled


def check_matches(model: nn.Module, state_dict: Mapping[str, Tensor], name: str | Path) -> None:
    """Refuse weights that are not exactly those of a model; mmengine only warns.

    The step counters of batch norm may be absent, as in old checkpoints: they do not change a prediction.

    Args:
        model: bare, or wrapped for distributed or test-time-augmented use.
        state_dict: the tensors to be loaded.
        name: of the checkpoint, for the error.

    Raises:
        UserError: a tensor is missing, unexpected, or of another shape.
    """
    source = {key.removeprefix("module."): value for key, value in state_dict.items()}
    target = _unwrapped(model).state_dict()
    same = {key for key in source if key in target and _is_like(source[key], target[key])}
    faults = {
        "missing": [key for key in target if key not in source and not _is_counter(key)],
        "unexpected": [key for key in source if key not in target],
        "of another shape or type": [key for key in source if key in target and key not in same],
    }
    found = [f"{len(keys)} {fault} ({modules(keys, same)})" for fault, keys in faults.items() if keys]
    if found:
        raise UserError(
            f"{name}: checkpoint of another model: {', '.join(found)}\nuse the config that it was trained with"
        )


def build_model(cfg: Config, checkpoint: Checkpoint) -> nn.Module:
    """Build a config's model for prediction, with the weights of a checkpoint.

    Args:
        cfg: config of the model, which may be wrapped for test-time augmentation.
        checkpoint: of the same model.

    Raises:
        UserError: see :func:`check_matches`.
    """
    model: nn.Module = MODELS.build(cfg.model)
    check_matches(model, checkpoint.state_dict, checkpoint.path)
    weights = {key.removeprefix("module."): value for key, value in checkpoint.state_dict.items()}
    _unwrapped(model).load_state_dict(weights, strict=False)
    return model.eval()


@HOOKS.register_module()
class PretrainedReportHook(Hook):
    """Fit a checkpoint to the model that starts from it, and log the :class:`LoadReport`.

    In testing and resuming the checkpoint must be the model's own: it is checked and left as it is.

    Args:
        renames: see :func:`fit`.
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
        fitting, report = fit(checkpoint["state_dict"], model, self.renames)
        if not fitting:
            raise UserError(f"{name}: checkpoint of another model: not one of its tensors fits this config's")
        # Filled up with the model's own tensors, so that mmengine finds nothing missing and EMAHook copies those too.
        checkpoint["state_dict"] = model.state_dict()
        checkpoint["state_dict"].update(fitting)
        runner.logger.info(f"{name}: {report}")


def _unwrapped(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule("module")
    return model


def _module(key: str) -> str:
    """The module that owns a tensor; a tensor of the model itself stands for itself."""
    return key.rpartition(".")[0] or key


def _is_like(old: Tensor, new: Tensor) -> bool:
    return old.shape == new.shape and old.is_floating_point() == new.is_floating_point()


def _is_counter(key: str) -> bool:
    """BN counts its steps for a momentum of None alone; old checkpoints lack the counter."""
    return key.endswith("num_batches_tracked")


def modules(keys: Iterable[str], others: Iterable[str]) -> str:
    """The outermost modules that hold all of ``keys`` and none of ``others``, for a log line."""

    def nested(key: str) -> list[str]:
        parts = key.split(".")
        return [".".join(parts[: end + 1]) for end in range(len(parts))]

    mixed = {module for key in others for module in nested(key)}
    names = list(OrderedDict.fromkeys(next(m for m in nested(key) if m not in mixed) for key in keys))
    more = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return ", ".join(names[:LISTED] + more) or "none"
