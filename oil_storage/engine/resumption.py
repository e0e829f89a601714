"""That a checkpoint is resumed by the training that wrote it.

What a checkpoint carries - optimiser, schedules, averaged weights - replaces what the config says of them. Of a config
that says otherwise mmengine fails in torch's words, or takes no notice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import nn

from oil_storage.engine.checkpoint_fit import modules
from oil_storage.errors import UserError

FROZEN = "frozen"
"""Key of a checkpoint's ``meta``: names of the parameters that were not trained."""

MOVING = ("params", "lr", "momentum", "betas", "last_step", "_global_step", "_last_value", "verbose")
"""Entries of an optimiser's groups and of schedules that change in training, or mean nothing."""


def frozen_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters that are not trained; a distributed wrapper's ``module.`` is left out."""
    return [name.removeprefix("module.") for name, value in model.named_parameters() if not value.requires_grad]


def check_resumable(runner: Runner, checkpoint: Mapping[str, Any], name: str) -> None:
    """Refuse a checkpoint of another training: other parameters frozen, another optimiser, schedule or average.

    Args:
        runner: with optimiser and schedules built, and not yet loaded.
        checkpoint: of the same model, written to be resumed.
        name: what the error calls it.

    Raises:
        UserError: with the first difference.
    """
    difference = next(_differences(runner, checkpoint), None)
    if difference:
        raise UserError(
            f"{name}: of another training: {difference}\n"
            "resume with the config, --cfg-options and --from-scratch (or without) that it was started with,\n"
            "or start a new training from its weights: --load-from"
        )


def _differences(runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    parameters = [name.removeprefix("module.") for name, _ in runner.model.named_parameters()]
    here = frozen_parameters(runner.model)
    there = checkpoint["meta"].get(FROZEN, here)
    for before, now, words in ((there, here, ("froze", "trained")), (here, there, ("trained", "frozen"))):
        if changed := [key for key in before if key not in now]:
            others = set(parameters) - set(changed)
            yield f"it {words[0]} {modules(changed, others)}, which would be {words[1]} now"
    if ("ema_state_dict" in checkpoint) != any(isinstance(hook, EMAHook) for hook in runner.hooks):
        yield f"it has {'' if 'ema_state_dict' in checkpoint else 'no '}averaged weights (EMAHook)"
    old, new = (state.get("param_groups", []) for state in (checkpoint["optimizer"], runner.optim_wrapper.state_dict()))
    if [len(group["params"]) for group in old] != [len(group["params"]) for group in new]:
        yield f"its optimiser has {_size(old)}, the config's {_size(new)}"
    for before, now in zip(old, new, strict=False):
        yield from _entries("optim_wrapper: ", before, now)
    old, new = checkpoint.get("param_schedulers"), runner.param_schedulers
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"it has {len(old)} schedules (param_scheduler), the config {len(new)}"
        for index, (before, now) in enumerate(zip(old, new, strict=False)):
            yield from _entries(f"param_scheduler.{index}: ", before, now.state_dict())


def _size(groups: Sequence[Mapping[str, Any]]) -> str:
    return f"{sum(len(group['params']) for group in groups)} parameters in {len(groups)} groups"


def _entries(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(old.keys() - set(MOVING)):  # a newer torch may have more
        if old[key] != new.get(key):
            yield f"{place}{key} was {old[key]}, would be {new.get(key)}"
