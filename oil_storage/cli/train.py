"""Train a config."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli import configuration
from oil_storage.cli.command import is_first_process, run
from oil_storage.cli.false_start import nothing_left
from oil_storage.errors import UserError

LARGEST_SEED = 2**31 - 1
"""mmengine draws seeds up to here, and adds a worker's number for generators that take 32 bits."""


def build_parser() -> argparse.ArgumentParser:
    """Flags as in MMDetection's own train.py, and a few more."""
    parser = argparse.ArgumentParser(prog="tools/train.py", description=__doc__)
    configuration.add_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CKPT",
        help="go on from CKPT, or from the work dir's last checkpoint; without any there, start anew",
    )
    parser.add_argument("--seed", type=seed, help="of all random numbers (default: the config's)")
    parser.add_argument("--deterministic", action="store_true", help="deterministic algorithms on CUDA too, slower")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--load-from", metavar="CKPT", help="weights to start from: a file, a URL or mmdet://NAME")
    start.add_argument("--from-scratch", action="store_true", help="start without any checkpoint, nothing frozen")
    return parser


def seed(text: str) -> int:
    """An integer that every random generator takes, for argparse."""
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is no integer from 0 to {LARGEST_SEED}")
    return int(text)


def train(args: argparse.Namespace) -> int:
    """Run the training that ``args`` describe; returns the exit status."""
    if args.load_from and args.resume not in (None, "auto"):
        raise UserError(f"--resume {args.resume} --load-from {args.load_from}: two checkpoints to start from; give one")
    configuration.check_files(args.config, args.load_from, None if args.resume == "auto" else args.resume)
    configuration.choose_device(args.device)
    configuration.quieten()
    cfg = configuration.load(args)

    from oil_storage.checkpoints.checkpoint import Checkpoint
    from oil_storage.checkpoints.download import resolve
    from oil_storage.checkpoints.provenance import check_resumable, data_root
    from oil_storage.checkpoints.work_dir import INTERRUPTED, find_last
    from oil_storage.datasets.oil_storage import check_prepared
    from oil_storage.engine import distributed
    from oil_storage.engine.concise_runner import ConciseRunner
    from oil_storage.engine.detection_limits import too_few
    from oil_storage.engine.failures import plain_errors
    from oil_storage.engine.from_scratch import from_scratch
    from oil_storage.engine.interruption import TrainingInterrupted
    from oil_storage.engine.schedule_length import keep_epochs
    from oil_storage.files import remove_partial

    distributed.prepare(cfg, args.launcher)
    if args.seed is not None:
        cfg.merge_from_dict({"randomness.seed": args.seed})
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses cuBLAS
        cfg.merge_from_dict({"randomness.deterministic": True})
    if args.from_scratch:
        from_scratch(cfg)
        if is_first_process():
            print("starts from scratch: no weights are loaded, nothing is frozen")
    counted = {"EpochBasedTrainLoop": ("max_epochs", "max_iters"), "IterBasedTrainLoop": ("max_iters", "max_epochs")}
    train_cfg = cfg.get("train_cfg") or {}
    right, wrong = counted.get(str(train_cfg.get("type")), ("", ""))
    if wrong and wrong in train_cfg:
        raise UserError(f"{args.config}: train_cfg.{wrong}: this config is trained for train_cfg.{right}; give that")
    for key in ("max_iters", "max_epochs", "val_interval"):
        if not isinstance(train_cfg.get(key, 1), int) or train_cfg.get(key, 1) < 1:
            raise UserError(f"{args.config}: train_cfg.{key}={train_cfg[key]}: must be at least 1")
    if (scaled := keep_epochs(cfg, distributed.processes(cfg))) and is_first_process():
        print(scaled)
    configuration.check_evaluator(cfg, "val")
    for name in ("train_dataloader", "val_dataloader"):
        if cfg.get(name):
            cfg[name].setdefault("worker_init_fn", {"type": "leave_process_group"})
            if (dataset := cfg[name].dataset).type == "OilStorageDataset":  # before a checkpoint is fetched for it
                check_prepared(Path(dataset.data_root), f"{dataset.tile}_{dataset.overlap}")
                if (warning := too_few(cfg, name)) and is_first_process():
                    print(warning)
    if args.load_from:
        cfg.load_from = args.load_from
    remove_partial(Path(cfg.work_dir))
    last = None
    if resume := args.resume or (cfg.get("resume") and (cfg.get("load_from") or "auto")):
        last = find_last(Path(cfg.work_dir)) if resume == "auto" else Path(resume)
        if last is not None:
            cfg.resume, cfg.load_from = True, str(last)
    elif Path(cfg.work_dir, INTERRUPTED).is_file():
        raise UserError(
            f"{cfg.work_dir}: holds a training that was interrupted: --resume carries on;\n"
            f"to start anew name another --work-dir, or delete {Path(cfg.work_dir, INTERRUPTED)}"
        )
    if cfg.get("load_from"):
        path = resolve(str(cfg.load_from))
        cfg.load_from = str(path)
        checkpoint = Checkpoint.read(path)
        if last is not None:
            check_resumable(cfg, checkpoint, distributed.processes(cfg))
        if root := data_root(cfg):
            checkpoint.check_unseen(root, "val")
        done = (checkpoint.meta.iter or 0) >= cfg.train_cfg.get("max_iters", math.inf)
        if last is not None and done and last.name != INTERRUPTED:  # after which a validation may be due
            if is_first_process():
                print(f"{last}: trained to its end, {cfg.train_cfg.max_iters} iterations; nothing is left to do")
            return 0
    if resume and is_first_process():
        print(f"{cfg.work_dir}: no checkpoint to resume, starting anew" if last is None else f"resuming {last}")

    with nothing_left(Path(cfg.work_dir)), plain_errors(args.config, args.cfg_options):
        try:
            ConciseRunner.from_cfg(cfg).train()
        except TrainingInterrupted as stop:
            if is_first_process():  # all stop after the same iteration
                print(stop, file=sys.stderr)
            return stop.status
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/train.py``."""
    return run(build_parser(), train, argv)
