"""Measure the cost of configs: parameters, GFLOPs, memory, and time per tile in training and inference."""

import argparse
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from oil_storage import config
from oil_storage.cli.arguments import add_device, count, file_path, number
from oil_storage.cli.command import choose_device, quieten_libraries, run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.figures import Cost

BUSY = 1.0
"""One-minute load average above which the tool warns that other processes slow the measurement down."""
logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/benchmark.py", description=__doc__)
    parser.add_argument("configs", type=file_path, nargs="+", metavar="CONFIG", help="e.g. configs/oil/ssd_lite0.py")
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16")
    add_device(parser)
    parser.add_argument("--seconds", type=number(0), default=15.0, help="duration of each measurement (default: 15)")
    parser.add_argument("--batch", type=count, metavar="N", help="batch size in training (default: as in the config)")
    parser.add_argument("--record", type=file_path, metavar="DIR", help="write the results to DIR/<config>.json")
    return parser


def benchmark(args: argparse.Namespace) -> None:
    """Measure the configs one after another. Each gets a new process, to measure its peak memory separately."""
    from oil_storage.reporting.results import record

    for path in args.configs:
        config.load(path)
    if args.record and not args.record.is_dir():
        raise UserError(f"--record {args.record}: no such folder; use an existing one, e.g. results")
    if (load := os.getloadavg()[0]) > BUSY:
        logger.warning("other processes are running (load %.1f); the measured times will be too long", load)
    for path in args.configs:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            try:
                cost = process.submit(_measure, path, args).result()
            except Exception as error:
                raise UserError(
                    f"{path}: cannot be measured ({error}); check the config and the free memory"
                ) from error
        print(
            f"{path.stem}: {cost.parameters / 1e6:.1f} M parameters, {cost.gflops:.1f} GFLOPs at "
            f"{'x'.join(map(str, cost.input))} px; "
            f"inference {cost.inference.p50:.3g} s per tile (p95 {cost.inference.p95:.3g}), "
            f"training {cost.training.p50:.3g} s per tile in batches of {cost.training.batch}; "
            f"memory {cost.memory_gb:.1f} GB; {cost.hardware}, {cost.precision}",
            flush=True,
        )
        if args.record:
            record(args.record, path.stem, speed=cost)


def _measure(path: Path, args: argparse.Namespace) -> "Cost":
    choose_device(args.device)
    quieten_libraries()

    from oil_storage.engine.cost import cost_of

    cfg = config.load(path, bf16=args.amp)
    if args.batch:
        cfg.train_dataloader.batch_size = args.batch
    return cost_of(cfg, args.seconds)


main = partial(run, build_parser, benchmark)
