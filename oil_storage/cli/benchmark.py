"""Measure the cost of configs: parameters, GFLOPs, memory, and time per tile in training and inference.

With weights and scenes, also measure time and memory of detection in whole scenes.
"""

import argparse
import logging
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oil_storage import config
from oil_storage.cli.arguments import add_device, count, file_path, number
from oil_storage.cli.command import choose_device, quieten_libraries, run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.figures import Cost, SceneCost

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
    parser.add_argument("--weights", type=file_path, metavar="FILE", help="weights of the only CONFIG, for --scenes")
    parser.add_argument("--scenes", type=file_path, nargs="+", metavar="IMAGE", help="also measure detection in scenes")
    parser.add_argument("--record", type=file_path, metavar="DIR", help="write the results to DIR/<config>.json")
    return parser


def benchmark(args: argparse.Namespace) -> None:
    """Measure the configs one after another. Each gets a new process."""
    from oil_storage.reporting.results import record

    if (args.weights is None) != (args.scenes is None) or (args.scenes and len(args.configs) > 1):
        raise UserError("--scenes: needs --weights and a single CONFIG; measure one config at a time")
    for path in args.configs:
        config.load(path)
    config.check_files(None, args.weights)
    if args.record and not args.record.is_dir():
        raise UserError(f"--record {args.record}: no such folder; use an existing one, e.g. results")
    if (load := os.getloadavg()[0]) > BUSY:
        logger.warning("other processes are running (load %.1f); the measured times will be too long", load)
    for path in args.configs:
        cost: Cost = _in_new_process(_measure, path, args)
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
        if args.scenes:
            scene: SceneCost = _in_new_process(_measure_scenes, path, args)
            print(
                f"{path.stem}: {scene.seconds:.3g} s per scene of {scene.size[1]} x {scene.size[0]} px, memory "
                f"{scene.memory_gb:.2f} GB",
                flush=True,
            )
            if args.record:
                record(args.record, path.stem, scene=scene)


def _in_new_process(measure: Callable[[Path, argparse.Namespace], Any], path: Path, args: argparse.Namespace) -> Any:
    """Measure in a process of its own, so that its peak memory is not that of earlier measurements."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            return process.submit(measure, path, args).result()
        except Exception as error:
            raise UserError(f"{path}: cannot be measured ({error}); check the config and the free memory") from error


def _measure(path: Path, args: argparse.Namespace) -> "Cost":
    choose_device(args.device)
    quieten_libraries()

    from oil_storage.engine.cost import cost_of

    cfg = config.load(path, bf16=args.amp)
    if args.batch:
        cfg.train_dataloader.batch_size = args.batch
    return cost_of(cfg, args.seconds)


def _measure_scenes(path: Path, args: argparse.Namespace) -> "SceneCost":
    choose_device(args.device)
    quieten_libraries()

    from oil_storage.inference.scene_cost import scene_cost

    return scene_cost(config.load(path, bf16=args.amp), args.weights, args.scenes, args.seconds)


main = partial(run, build_parser, benchmark)
