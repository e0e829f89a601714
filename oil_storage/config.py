"""Read experiment configs and override them from the command line, without importing torch."""

import difflib
import math
import sys
from collections.abc import Collection, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oil_storage.errors import UserError
from oil_storage.schedule import stretch, stretch_epochs

if TYPE_CHECKING:
    from mmengine.config import Config

REQUIRED = ("model", "optim_wrapper", "test_dataloader")
"""Top-level keys that training and testing require."""
TOP_LEVEL = frozenset(
    (
        # arguments of mmengine.runner.Runner
        *("model", "work_dir", "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg"),
        *("test_cfg", "auto_scale_lr", "optim_wrapper", "param_scheduler", "val_evaluator", "test_evaluator"),
        *("default_hooks", "custom_hooks", "data_preprocessor", "load_from", "resume", "env_cfg", "log_processor"),
        *("log_level", "visualizer", "default_scope", "randomness", "experiment_name"),
        # keys that mmengine or the tools of this project read from the config
        *("sync_bn", "find_unused_parameters", "model_wrapper_cfg", "compile", "tta_model", "tta_pipeline"),
        *("activation_checkpointing", "efficient_conv_bn_eval", "custom_imports", "most_seconds"),
    )
)
"""Supported top-level keys of a config."""
MMENGINE_HOOKS = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
"""Hooks that mmengine adds by default; None in a config disables them."""


def check_files(config: Path | None, *checkpoints: str | Path | None) -> None:
    """Check that files exist, before slow modules are imported.

    Args:
        config: path of a config file; None is not checked.
        *checkpoints: paths of checkpoints; None and URLs are not checked.

    Raises:
        UserError: the config or a checkpoint does not exist, or the config is not a ``*.py`` file.
    """
    if config is not None and not config.is_file():
        names = [file.name for file in config.parent.glob("*.py")]
        raise UserError(f"{config}: no such config{_did_you_mean(config.name, names) or '; see configs/oil/'}")
    if config is not None and config.suffix != ".py":
        raise UserError(f"{config}: not a config (*.py); give CONFIG before CHECKPOINT")
    for checkpoint in checkpoints:
        if checkpoint is not None and "://" not in str(checkpoint) and not Path(checkpoint).expanduser().is_file():
            raise UserError(f"{checkpoint}: no such checkpoint file; check the path")


def dataset_of(cfg: "Config", loader: str) -> Any:
    """Return the data set of a loader, without MMDetection's wrappers such as ``MultiImageMixDataset``."""
    dataset = cfg[loader].dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    return dataset


def load(path: Path, options: Sequence[str] = (), *, work_dir: Path | None = None, bf16: bool = False) -> "Config":
    """Read a config and override it.

    The function does not import the modules in ``custom_imports``;
    :func:`oil_storage.engine.runner.use_scope` does.

    Args:
        path: config file.
        options: ``KEY=VALUE`` strings, see :func:`parse_options`.
        work_dir: output folder; None uses ``work_dir`` of the config, or ``work_dirs/<config name>``.
        bf16: compute in bfloat16, regardless of the config.

    Raises:
        UserError: the config or one of its bases cannot be read, a key is misspelt, a key of :data:`REQUIRED` is
            missing, or an option is invalid.
    """
    from mmengine.config import Config

    check_files(path)
    try:
        with redirect_stdout(sys.stderr):  # mmengine logs the use of environment variables
            cfg = Config.fromfile(path, import_custom_modules=False)
    except (Exception, SystemExit) as error:  # mmengine does not state whether the file or a base config has the error
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{path}: this config or one of its bases cannot be read ({reason}); correct it") from error
    for key in cfg.keys() - TOP_LEVEL:
        if suggestion := _did_you_mean(key, TOP_LEVEL & cfg.keys(), cutoff=0.8):
            raise UserError(f"{path}: unknown key {key!r} in this config or one of its bases{suggestion}")
    try:
        _override(cfg, parse_options(options, cfg))
    except (AttributeError, KeyError, TypeError) as error:  # raised by mmengine for a.b=1 together with a=1
        raise UserError(f"--cfg-options {' '.join(options)}: options contradict each other; remove one") from error
    if missing := [key for key in REQUIRED if not isinstance(cfg.get(key), dict)]:
        raise UserError(f"{path}: no {missing[0]!r}; use a config from configs/oil/, not from configs/_base_/")
    for name, hook in dict(cfg.get("default_hooks") or {}).items():
        if hook is None and name not in MMENGINE_HOOKS:
            del cfg.default_hooks[name]
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or Path("work_dirs", path.stem))
    if bf16:
        cfg.optim_wrapper.type = "Bf16OptimWrapper"
    return cfg


def _override(cfg: "Config", options: dict[str, Any]) -> None:
    """Merge options into a config. If the options set the schedule length but no scheduler, rescale the schedulers."""
    if not any(key.startswith("param_scheduler") for key in options):
        for key, change in (("max_iters", stretch), ("max_epochs", stretch_epochs)):
            length, before = options.get(f"train_cfg.{key}"), (cfg.get("train_cfg") or {}).get(key)
            if isinstance(length, int | float) and length > 0 and before:
                change(cfg, length / before)
    cfg.merge_from_dict(options)


def parse_options(options: Sequence[str], cfg: "Config") -> dict[str, Any]:
    """Parse ``KEY=VALUE`` strings into a dict for :meth:`Config.merge_from_dict`.

    A misspelt key would silently have no effect. A key that the config does not have must therefore be written as
    ``+KEY=VALUE``; keys in :data:`TOP_LEVEL` need no ``+``.

    Args:
        options: strings from the command line; values are numbers, booleans, None, strings, lists or tuples.
        cfg: config that the options override.

    Raises:
        UserError: an option has no ``=``, an unknown key or unbalanced brackets; or it replaces a number by anything
            but a finite number or None, or a whole dict by anything but None.
    """
    from mmengine.config import DictAction

    parsed: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.removeprefix("+").partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(f"--cfg-options {option}: must be KEY=VALUE without spaces around =")
        try:
            parsed[key] = DictAction._parse_iterable(text)
            if not option.startswith("+"):
                _check_option(key, parsed[key], cfg)
        except AssertionError as error:
            raise UserError(f"--cfg-options {option}: unbalanced brackets; close each bracket") from error
        except ValueError as error:
            raise UserError(f"--cfg-options {option}: {error}") from error
    return parsed


def _check_option(key: str, value: Any, cfg: "Config") -> None:
    """Raise ValueError if the config has no such key, or if ``value`` cannot replace the number or dict there."""
    first, *rest = key.split(".")
    if first in TOP_LEVEL and first not in cfg:
        return
    if first not in TOP_LEVEL:
        raise ValueError(f"unknown key {first!r}{_did_you_mean(first, TOP_LEVEL)}")
    old, parent = cfg[first], first
    for part in rest:
        if isinstance(old, list | tuple):
            old = {str(index): item for index, item in enumerate(old)}
        names = list(old) if isinstance(old, dict) else []
        if part not in names:
            raise ValueError(f"unknown key {part!r} in {parent}{_did_you_mean(part, names)}; +KEY=VALUE adds a key")
        old, parent = old[part], f"{parent}.{part}"
    if isinstance(old, dict) and value is not None:
        raise ValueError("would replace a whole dict; set its keys instead")
    is_number = isinstance(value, int | float) and math.isfinite(value)
    if isinstance(old, int | float) and not is_number and value is not None:
        raise ValueError(f"must be {'True or False' if isinstance(old, bool) else f'a number, like {old!r}'}")


def _did_you_mean(name: str, names: Collection[str], cutoff: float = 0.6) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""
