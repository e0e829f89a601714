"""Read experiment configs, and override them from the command line. Nothing here imports torch."""

import difflib
import math
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oil_storage.errors import UserError
from oil_storage.schedule import stretch, stretch_epochs

if TYPE_CHECKING:
    from mmengine.config import Config

REQUIRED = ("model", "optim_wrapper", "test_dataloader")
"""Parts that a config needs to be trained or tested."""
TOP_LEVEL = frozenset(
    (
        # arguments of mmengine's Runner
        *("model", "work_dir", "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg"),
        *("test_cfg", "auto_scale_lr", "optim_wrapper", "param_scheduler", "val_evaluator", "test_evaluator"),
        *("default_hooks", "custom_hooks", "data_preprocessor", "load_from", "resume", "env_cfg", "log_processor"),
        *("log_level", "visualizer", "default_scope", "randomness", "experiment_name"),
        # keys that mmengine or our tools look up in the config
        *("sync_bn", "find_unused_parameters", "model_wrapper_cfg", "compile", "tta_model", "tta_pipeline"),
        *("activation_checkpointing", "efficient_conv_bn_eval", "custom_imports", "most_seconds"),
    )
)
"""Top-level keys that have an effect."""
MMENGINE_HOOKS = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
"""Hooks that mmengine adds by itself, and leaves out where a config says None."""


def check_files(config: Path, *checkpoints: str | Path | None) -> None:
    """Refuse files that do not exist, before the imports that take seconds.

    Args:
        config: path of a config file.
        checkpoints: paths of checkpoints; None and URLs pass.

    Raises:
        UserError: no such config or checkpoint.
    """
    if not config.is_file():
        raise UserError(f"{config}: no such config{_similar_configs(config)}")
    if config.suffix != ".py":
        raise UserError(f"{config}: not a config, which ends in .py; give CONFIG before CHECKPOINT")
    for checkpoint in checkpoints:
        if checkpoint is not None and "://" not in str(checkpoint) and not Path(checkpoint).expanduser().is_file():
            raise UserError(f"{checkpoint}: no such checkpoint file")
    if os.environ.get("OIL_STORAGE_DATA") == "":
        raise UserError("OIL_STORAGE_DATA is empty; name the prepared folder, or unset it for data/oil_storage")


def _similar_configs(path: Path) -> str:
    """Name configs of similar names, in the folder that was named or in configs/oil."""
    for folder in (path.parent, Path("configs", "oil")):
        names = {config.stem: str(config) for config in sorted(folder.glob("*.py"))}
        if close := difflib.get_close_matches(path.stem, names, n=3, cutoff=0.4):
            return f"; there is {', '.join(names[stem] for stem in close)}"
    return f"; there is {', '.join(names.values())}" if names else ""


def load(path: Path, options: Sequence[str] = (), *, work_dir: Path | None = None, bf16: bool = False) -> "Config":
    """Read a config and override it.

    The modules in ``custom_imports`` are not imported; :func:`oil_storage.engine.registries.use_scope` does that.

    Args:
        path: config file.
        options: ``KEY=VALUE`` texts, see :func:`parse_options`.
        work_dir: output folder; None takes the config's, or ``work_dirs/<config name>``.
        bf16: compute in bfloat16 whatever the config says.

    Raises:
        UserError: no such file, a fault in it or in a base, a misspelt key, or an invalid option.
    """
    from mmengine.config import Config

    check_files(path)
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
    except SyntaxError as error:  # mmengine parses a text, so the line is known and the file of a base is not
        raise UserError(f"{path}, or a base: line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: _base_ names a file that does not exist: {error.filename or error}") from error
    except Exception as error:
        raise UserError(f"{path}, or a base: {type(error).__name__}: {str(error).partition(chr(10))[0]}") from error
    for key in cfg.keys() - TOP_LEVEL:
        if suggestion := _did_you_mean(key, TOP_LEVEL & cfg.keys(), cutoff=0.8):
            raise UserError(f"{path}, or a base: unknown key {key!r}{suggestion}")
    try:
        _override(cfg, parse_options(options, cfg))
    except (AttributeError, KeyError, TypeError) as error:  # mmengine's, for a.b=1 beside a=1
        raise UserError(f"--cfg-options {' '.join(options)}: contradict each other") from error
    if missing := [key for key in REQUIRED if not isinstance(cfg.get(key), dict)]:
        raise UserError(f"{path}: no {missing[0]!r} in it; give a config of configs/oil/, not of configs/_base_/")
    for name, hook in dict(cfg.get("default_hooks") or {}).items():
        if hook is None and name not in MMENGINE_HOOKS:
            del cfg.default_hooks[name]
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or Path("work_dirs", path.stem))
    if bf16:
        cfg.optim_wrapper.type = "Bf16OptimWrapper"
    return cfg


def _override(cfg: "Config", options: dict[str, Any]) -> None:
    """Merge options; a schedule of which only the length is given is stretched to it."""
    if not any(key.startswith("param_scheduler") for key in options):
        for key, change in (("max_iters", stretch), ("max_epochs", stretch_epochs)):
            length, before = options.get(f"train_cfg.{key}"), (cfg.get("train_cfg") or {}).get(key)
            if isinstance(length, int | float) and length > 0 and before:
                change(cfg, length / before)
    cfg.merge_from_dict(options)


def parse_options(options: Sequence[str], cfg: "Config") -> dict[str, Any]:
    """Turn ``KEY=VALUE`` texts into what :meth:`Config.merge_from_dict` takes.

    A key that the config does not have would silently change nothing, so that it has to be written ``+KEY=VALUE``; the
    top-level keys of :data:`TOP_LEVEL` need no ``+``.

    Args:
        options: as on the command line; values are numbers, booleans, None, texts, or lists and tuples of these.
        cfg: the config that is overridden.

    Raises:
        UserError: no ``=``, an unknown key, unbalanced brackets, or text in place of a number.
    """
    from mmengine.config import DictAction

    parsed: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.removeprefix("+").partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(f"--cfg-options {option}: must be KEY=VALUE without blanks around the =")
        try:
            parsed[key] = DictAction._parse_iterable(text)
            if not option.startswith("+"):
                _check_option(key, parsed[key], cfg)
        except AssertionError as error:
            raise UserError(f"--cfg-options {option}: unbalanced brackets") from error
        except ValueError as error:
            raise UserError(f"--cfg-options {option}: {error}") from error
    return parsed


def _check_option(key: str, value: Any, cfg: "Config") -> None:
    """Raise ValueError where the config has no such key, or a value of another kind there."""
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
            raise ValueError(f"unknown key {part!r} in {parent}{_did_you_mean(part, names)}; +KEY=VALUE adds one")
        old, parent = old[part], f"{parent}.{part}"
    if isinstance(old, dict) and value is not None:
        raise ValueError("would replace a whole dict; set its keys")
    is_number = isinstance(value, int | float) and math.isfinite(value)
    if isinstance(old, int | float) and not is_number and value is not None:
        raise ValueError(f"must be {'True or False' if isinstance(old, bool) else f'a number, as {old!r} is'}")


def _did_you_mean(name: str, names: Collection[str], cutoff: float = 0.6) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""
