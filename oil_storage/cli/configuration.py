"""Configs from the command line: read, overridden, and faults said in a line."""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oil_storage.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

LAUNCHERS = ("none", "pytorch", "slurm")
MMENGINE_HOOKS = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
"""Hooks that mmengine adds by itself, and leaves out where a config says None."""


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
        help='override the config, e.g. optim_wrapper.optimizer.lr=1e-3 or key="[1,2]"',
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
    from mmengine.config import Config

    path: Path = args.config
    if not path.is_file():
        raise UserError(f"{path}: no such config{_suggest(path)}")
    try:
        cfg = Config.fromfile(path)
    except SyntaxError as error:
        # mmengine parses a text, so of a fault in a base the line is known and the file is not
        raise UserError(f"{path}, or a base: line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: {type(error).__name__}: {_first_line(error)}") from error
    if absent := [key for key in ("model", "test_dataloader") if key not in cfg]:
        raise UserError(f"{path}: no {absent[0]!r} in it; give a config of configs/oil/, not of configs/_base_/")
    cfg.merge_from_dict(parse_options(args.cfg_options, cfg))
    for name in [name for name, hook in cfg.get("default_hooks", {}).items() if hook is None]:
        if name not in MMENGINE_HOOKS:
            del cfg.default_hooks[name]
    if args.work_dir is not None:
        cfg.work_dir = str(args.work_dir)
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs", path.stem))
    if args.amp:
        cfg.optim_wrapper.type = "Bf16OptimWrapper"
    return cfg


def parse_options(options: Sequence[str], cfg: "Config") -> dict[str, Any]:
    """Turn ``KEY=VALUE`` texts into what :meth:`Config.merge_from_dict` takes.

    Args:
        options: as on the command line; values are numbers, booleans, None, texts, or lists and tuples of these.
        cfg: the config that is overridden; an unknown first part of a key would change nothing, so it is refused.

    Raises:
        UserError: no ``=``, an unknown key, an index where there is no list, or unbalanced brackets.
    """
    from mmengine.config import DictAction

    parsed: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not key or not equals:
            raise UserError(f"--cfg-options {option}: must be KEY=VALUE without blanks around the =")
        try:
            parsed[key] = DictAction._parse_iterable(value)
        except AssertionError as error:
            raise UserError(f"--cfg-options {option}: unbalanced brackets") from error
        _check_key(option, key.split("."), cfg)
    return parsed


def _check_key(option: str, parts: Sequence[str], cfg: "Config") -> None:
    known = {*cfg, *_runner_keys()}
    if parts[0] not in known:
        close = difflib.get_close_matches(parts[0], known, n=1)
        raise UserError(
            f"--cfg-options {option}: no {parts[0]!r} in the config" + (f"; {close[0]!r}?" if close else "")
        )
    node: Any = cfg
    for part in parts:
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(f"--cfg-options {option}: {part!r} is no index into a list of {len(node)}")
            node = node[int(part)]
        elif isinstance(node, dict) or node is cfg:
            node = node.get(part)
        elif node is not None:
            raise UserError(f"--cfg-options {option}: what {part!r} is in is no dict but {node!r}")


def _runner_keys() -> set[str]:
    """Keys that mmengine's Runner reads, present in a config or not."""
    import inspect

    from mmengine.runner import Runner

    read_from_cfg = {"work_dir", "sync_bn", "find_unused_parameters", "model_wrapper_cfg", "compile", "tta_pipeline"}
    return {*inspect.signature(Runner.__init__).parameters, *read_from_cfg} - {"self", "cfg"}


def _suggest(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path("configs")
    there = {str(p): p.stem for p in sorted(folder.rglob("*.py")) if "_base_" not in p.parts}
    close = difflib.get_close_matches(path.stem, there.values(), n=3, cutoff=0.4)
    names = [name for name, stem in there.items() if stem in close] or list(there)[:5]
    return f"; there is {', '.join(names)}" if names else ""


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
        "faster_coco_eval is not installed",
        ".*`torch.jit.*` is deprecated",
        ".*'pin_memory' argument is set as true but no accelerator is found",
    ):
        warnings.filterwarnings("ignore", message=message)
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("mmdet.datasets")  # prints which optional packages are absent
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
