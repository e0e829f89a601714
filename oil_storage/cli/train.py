"""Train a config."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli import configuration
from oil_storage.cli.command import run


def build_parser() -> argparse.ArgumentParser:
    """Flags as in MMDetection's own train.py, and a few more."""
    parser = argparse.ArgumentParser(prog="tools/train.py", description=__doc__)
    configuration.add_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CKPT",
        help="go on from CKPT, or from the work dir's last checkpoint if there is one",
    )
    parser.add_argument("--seed", type=int, help="of all random numbers (default: the config's)")
    parser.add_argument("--deterministic", action="store_true", help="deterministic algorithms on CUDA too, slower")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--load-from", metavar="CKPT", help="weights to start from: a file, a URL or mmdet://NAME")
    start.add_argument("--from-scratch", action="store_true", help="start without any checkpoint, nothing frozen")
    return parser


def train(args: argparse.Namespace) -> int:
    """Run the training that ``args`` describe; returns the exit status."""
    configuration.choose_device(args.device)
    configuration.quieten()
    cfg = configuration.load(args)

    from mmengine.runner import Runner

    from oil_storage.engine import distributed
    from oil_storage.engine.checkpoints import check_whole, find_last
    from oil_storage.engine.failures import plain_errors
    from oil_storage.engine.from_scratch import from_scratch
    from oil_storage.engine.interruption import TrainingInterrupted
    from oil_storage.engine.pretrained import resolve

    distributed.prepare(cfg, args.launcher)
    if args.seed is not None:
        cfg.merge_from_dict({"randomness.seed": args.seed})
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses cuBLAS
        cfg.merge_from_dict({"randomness.deterministic": True})
    if args.from_scratch:
        from_scratch(cfg)
    if args.load_from:
        cfg.load_from = args.load_from
    if args.resume:
        last = find_last(Path(cfg.work_dir)) if args.resume == "auto" else Path(args.resume)
        if last is None:
            print(f"{cfg.work_dir}: no checkpoint to resume, starting anew")
        else:
            cfg.resume, cfg.load_from = True, str(last)
    if cfg.get("load_from"):
        cfg.load_from = str(resolve(cfg.load_from))
        check_whole(Path(cfg.load_from))
    for name in ("train_dataloader", "val_dataloader"):
        if cfg.get(name):
            cfg[name].setdefault("worker_init_fn", {"type": "leave_process_group"})

    with plain_errors():
        try:
            Runner.from_cfg(cfg).train()
        except TrainingInterrupted as stop:
            print(stop, file=sys.stderr)
            return stop.status
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/train.py``."""
    return run(build_parser(), train, argv)
