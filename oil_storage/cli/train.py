"""Train a detector."""

import argparse
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from oil_storage import config
from oil_storage.cli.arguments import add_run, number
from oil_storage.cli.command import choose_device, quieten_libraries, run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

LARGEST_SEED = 2**31 - 1
"""Largest seed. mmengine adds the number of a data worker to it, and the sum must fit in 32 bits."""
logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with the arguments of MMDetection's train.py and a few more."""
    parser = argparse.ArgumentParser(prog="tools/train.py", description=__doc__)
    add_run(parser)
    resume = "resume from CKPT (without a value: from the newest checkpoint in the work dir, if there is one)"
    parser.add_argument("--resume", nargs="?", const="auto", metavar="CKPT", help=resume)
    seed = number(0, LARGEST_SEED, int)
    parser.add_argument("--seed", type=seed, help="random seed (default: the config's)")
    parser.add_argument("--deterministic", action="store_true", help="use deterministic algorithms on CUDA; slower")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--load-from", metavar="CKPT", help="initial weights: file, URL or mmdet://NAME")
    start.add_argument("--from-scratch", action="store_true", help="start with random weights and freeze no layers")
    return parser


def configure(args: argparse.Namespace, work_dir: Path | None = None) -> "Config":
    """Load the config, apply the overrides in the arguments, and select the device.

    Args:
        args: arguments of :func:`build_parser`.
        work_dir: output folder, which replaces ``args.work_dir``.
    """
    if args.load_from and args.resume not in (None, "auto"):
        raise UserError(
            f"--resume {args.resume} --load-from {args.load_from}: two checkpoints are given; give only one"
        )
    config.check_files(args.config, args.load_from, None if args.resume == "auto" else args.resume)
    cfg = config.load(args.config, args.cfg_options, work_dir=work_dir or args.work_dir, bf16=args.amp)
    choose_device(args.device)
    quieten_libraries()
    if args.load_from:
        cfg.load_from = args.load_from
    if args.seed is not None:
        cfg.merge_from_dict({"randomness.seed": args.seed})
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch requires it for deterministic cuBLAS
        cfg.merge_from_dict({"randomness.deterministic": True})
    return cfg


def train(args: argparse.Namespace) -> int:
    """Train a detector; return exit status 0, or the status of an interruption."""
    cfg = configure(args)

    from oil_storage.engine.interruption import TrainingInterrupted
    from oil_storage.engine.training import train

    try:
        train(cfg, launcher=args.launcher, resume=args.resume, scratch=args.from_scratch)
    except TrainingInterrupted as stop:
        logger.warning(str(stop))
        return stop.status
    return 0


main = partial(run, build_parser, train)
