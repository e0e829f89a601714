"""Configs from the command line: read, overridden, and faults said in a line."""

import argparse
import difflib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oil_storage.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

LAUNCHERS = ("none", "pytorch", "slurm")
PARTS = ("model", "optim_wrapper", "test_dataloader")
"""What a config must have to be trained or tested."""
ALIKE = 0.8
"""From this likeness on, a name that nothing reads is a slip of the pen."""
MMENGINE_HOOKS = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
"""Hooks that mmengine adds by itself, and leaves out where a config says None."""
ARGUMENTS = ("randomness", "train_dataloader", "val_dataloader", "test_dataloader")
"""Dicts without a type whose keys are arguments of a function, which refuses those that it does not know."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what training and testing have in common."""
    parser.add_argument("config", type=Path, help="config file, e.g. configs/oil/rtmdet_lite0.py")
    parser.add_argument("--work-dir", type=Path, help="output folder (default: work_dirs/<config name>)")
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16, on CPU and CUDA")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help='override the config, e.g. optim_wrapper.optimizer.lr=1e-3 or key="[1,2]"; +KEY=VALUE adds a key',
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA if there")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none", help="set by tools/dist_*.sh, slurm_train.sh")
    # torch.distributed.launch passes it; torchrun uses the environment
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def choose_device(name: str) -> None:
    """Make ``cuda`` a promise and ``cpu`` a rule. To be called before mmengine is imported, which decides for good.

    Raises:
        UserError: CUDA is asked for and not there.
    """
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if name == "cuda":
        import torch

        if not torch.cuda.is_available():
            why = "torch sees no GPU" if torch.version.cuda else "this torch is built without CUDA"
            raise UserError(f"--device cuda: {why}; use --device cpu, or install as README.md says for CUDA")


def load(args: argparse.Namespace) -> "Config":
    """Read the config of the command line, with its overrides, work dir and precision.

    Raises:
        UserError: no such file, a fault in it, or overrides that are no overrides.
    """
    from oil_storage.engine import detection_limits

    path: Path = args.config
    cfg = read(path)
    try:
        _override(cfg, parse_options(args.cfg_options, cfg))
    except (AttributeError, KeyError, TypeError) as error:  # mmengine's, of a.b=1 beside a=1
        raise UserError(f"--cfg-options {' '.join(args.cfg_options)}: contradict each other") from error
    _check_parts(cfg, path)
    detection_limits.check(cfg.model)
    for name in [name for name, hook in (cfg.get("default_hooks") or {}).items() if hook is None]:
        if name not in MMENGINE_HOOKS:
            del cfg.default_hooks[name]
    if args.work_dir is not None:
        cfg.work_dir = str(args.work_dir)
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs", path.stem))
    if args.amp:
        cfg.optim_wrapper.type = "Bf16OptimWrapper"
    return cfg


def check_files(config: Path, *checkpoints: str | Path | None) -> None:
    """Refuse files that do not exist, before the imports that take seconds.

    Args:
        config: of the command line.
        checkpoints: of the command line; None and addresses pass.

    Raises:
        UserError: no such config or checkpoint.
    """
    if not config.is_file():
        raise UserError(f"{config}: no such config{_suggest(config)}")
    if config.suffix != ".py":
        raise UserError(f"{config}: not a config, which ends in .py; give CONFIG before CHECKPOINT")
    for checkpoint in checkpoints:
        if checkpoint is not None and "://" not in str(checkpoint) and not Path(checkpoint).expanduser().is_file():
            raise UserError(f"{checkpoint}: no such checkpoint file")
    if os.environ.get("OIL_STORAGE_DATA") == "":
        raise UserError("OIL_STORAGE_DATA is empty; name the prepared folder, or unset it for data/oil_storage")


def read(path: Path) -> "Config":
    """Read a config that can be trained and tested.

    Raises:
        UserError: no such file, a fault in it, or a name in it that means nothing and nearly means something.
    """
    from mmengine.config import Config

    check_files(path)
    try:
        cfg = Config.fromfile(path)
    except SyntaxError as error:
        # mmengine parses a text, so of a fault in a base the line is known and the file is not
        raise UserError(f"{path}, or a base: line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: {type(error).__name__}: {_first_line(error)}") from error
    _check_parts(cfg, path)
    used = [key for key in cfg if key in _keys_that_are_read()]
    for name in (name for name in cfg if name not in used):
        if close := difflib.get_close_matches(name, used, n=1, cutoff=ALIKE):
            raise UserError(f"{path}, or a base: {name!r} means nothing; {close[0]!r}?")
    return cfg


def _check_parts(cfg: "Config", path: Path) -> None:
    if absent := [key for key in PARTS if not isinstance(cfg.get(key), dict)]:
        raise UserError(f"{path}: no {absent[0]!r} in it; give a config of configs/oil/, not of configs/_base_/")


def _override(cfg: "Config", options: dict[str, Any]) -> None:
    """Merge options; a schedule whose length alone is given is stretched to it."""
    if not any(key.startswith("param_scheduler") for key in options):
        from oil_storage.engine.schedule_length import stretch, stretch_epochs

        for key, change in (("max_iters", stretch), ("max_epochs", stretch_epochs)):
            length, before = options.get(f"train_cfg.{key}"), (cfg.get("train_cfg") or {}).get(key)
            if isinstance(length, int | float) and length > 0 and before:
                change(cfg, length / before)
    cfg.merge_from_dict(options)


def parse_options(options: Sequence[str], cfg: "Config") -> dict[str, Any]:
    """Turn ``KEY=VALUE`` texts into what :meth:`Config.merge_from_dict` takes.

    A key that the config does not have is taken where something will refuse it if it means nothing: in a dict with a
    ``type``, whose class is called with it, and in those of :data:`ARGUMENTS`. Elsewhere it would silently change
    nothing, so it must be written ``+KEY=VALUE``.

    Args:
        options: as on the command line; values are numbers, booleans, None, texts, or lists and tuples of these.
        cfg: the config that is overridden.

    Raises:
        UserError: no ``=``, an unknown key, an index where there is no list, unbalanced brackets, or a value of
            another kind than the one it replaces.
    """
    from mmengine.config import DictAction

    parsed: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.removeprefix("+").partition("=")
        parts = key.split(".")
        if not equals or not all(parts):
            raise UserError(f"--cfg-options {option}: must be KEY=VALUE without blanks around the =")
        try:
            value = DictAction._parse_iterable(text)
        except AssertionError as error:
            raise UserError(f"--cfg-options {option}: unbalanced brackets") from error
        try:
            _check_value(_old_value(parts, cfg, may_add=option.startswith("+")), value)
        except ValueError as error:
            raise UserError(f"--cfg-options {option}: {error}") from error
        parsed[key] = value
    return parsed


def _old_value(parts: Sequence[str], cfg: "Config", may_add: bool) -> Any:
    """What stands at a key; None where the key is new and may be. Raises ValueError where it may not."""
    read = _keys_that_are_read()
    if parts[0] in cfg and parts[0] not in read:
        raise ValueError(f"{parts[0]!r} is a name inside the config, used up by now; override what it went into")
    if parts[0] in read and parts[0] not in cfg:
        return None
    node: Any = {key: cfg.get(key) for key in sorted(read)}
    for depth, part in enumerate(parts):
        place = ".".join(parts[:depth]) or "the config"
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(f"{part!r} is no index into a list of {len(node)}")
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, dict):
            if depth and (may_add or "type" in node or place in ARGUMENTS):
                return None
            close = difflib.get_close_matches(part, node, n=1)
            hint = f"; {close[0]!r}?" if close else "; +KEY=VALUE adds one" if depth else ""
            raise ValueError(f"no {part!r} in {place}{hint}")
        else:
            raise ValueError(f"{place} is no dict but {node!r}")
    return node


def _check_value(old: Any, new: Any) -> None:
    if old is None or new is None:
        return
    if isinstance(old, dict) or (isinstance(old, list | tuple) and not isinstance(new, list | tuple)):
        raise ValueError(f"would replace a whole {'dict' if isinstance(old, dict) else 'list'}")
    if isinstance(old, int | float) and (not isinstance(new, int | float) or not math.isfinite(new)):
        raise ValueError(f"must be {'True or False' if isinstance(old, bool) else f'a number, as {old!r} is'}")


def check_evaluator(cfg: "Config", name: str) -> None:
    """Refuse an evaluator that would score other tiles than its loader gives; ids of both count from 1.

    Args:
        cfg: any config; only a loader of OilStorageDataset is judged.
        name: ``val`` or ``test``.

    Raises:
        UserError: the two name different files.
    """
    loader, evaluator = cfg.get(f"{name}_dataloader"), cfg.get(f"{name}_evaluator")
    if not loader or not isinstance(evaluator, dict) or "ann_file" not in evaluator:
        return
    dataset = loader.dataset
    if dataset.get("type") != "OilStorageDataset":
        return
    expected = Path(dataset.data_root, "tiles", f"{dataset.tile}_{dataset.overlap}", f"{dataset.split}.json")
    if Path(evaluator["ann_file"]) != expected:
        raise UserError(
            f"{name}_evaluator.ann_file={evaluator['ann_file']} does not score what {name}_dataloader gives: {expected}"
        )


def _keys_that_are_read() -> set[str]:
    """Top-level keys that mmengine's Runner or our tools read, present in a config or not."""
    import inspect

    from mmengine.runner import Runner

    read_from_cfg = {
        *("work_dir", "sync_bn", "find_unused_parameters", "model_wrapper_cfg", "compile", "tta_model", "tta_pipeline"),
        *("activation_checkpointing", "efficient_conv_bn_eval"),
    }
    return {*inspect.signature(Runner.__init__).parameters, *read_from_cfg} - {"self", "cfg", "launcher"}


def _suggest(path: Path) -> str:
    """Configs to take instead: of the folder that was named, or of configs/oil."""
    for folder in (path.parent, Path("configs", "oil")):
        there = {p.stem: str(p) for p in sorted(folder.glob("*.py"))}
        if close := difflib.get_close_matches(path.stem, there, n=3, cutoff=0.4):
            return f"; there is {', '.join(there[stem] for stem in close)}"
    return f"; there is {', '.join(there.values())}" if there else ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def quieten() -> None:
    """Keep libraries' remarks to programmers off the user's terminal."""
    import contextlib
    import importlib
    import io
    import warnings

    for message in (
        "xFormers is not available",
        "torch.meshgrid: in an upcoming release",
        "Setting (OMP|MKL)_NUM_THREADS environment variable",
        ".*torch.cuda.amp.*is deprecated",
        "pkg_resources is deprecated",
        ".*`torch.jit.*` is deprecated",
        "'crs' was not provided",
        "To copy construct from a tensor",
        ".*'pin_memory' argument is set as true but no accelerator is found",
    ):
        warnings.filterwarnings("ignore", message=message)
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("mmdet.datasets")  # prints which optional packages are absent
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
