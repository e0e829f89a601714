"""Measure what configs cost: parameters, GFLOPs, time a tile in training and in inference, memory."""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli import configuration
from oil_storage.cli.command import run
from oil_storage.errors import UserError

BUSY = 1.0
"""Processes that want a core, in the mean of a minute, from which on times are not those of a quiet machine."""


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(prog="tools/benchmark.py", description=__doc__)
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="e.g. configs/oil/ssd_lite0.py")
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16 whatever the config says")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA if there")
    parser.add_argument(
        "--seconds", type=seconds, default=15.0, help="of each measurement, at least (default: %(default)s)"
    )
    parser.add_argument("--batch", type=batch, metavar="N", help="tiles in a training step (default: the config's)")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="write what was measured into DIR/<config>.json, e.g. results"
    )
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # measure in this process, say json
    return parser


def seconds(text: str) -> float:
    """A time that ends, for argparse."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


def batch(text: str) -> int:
    """A positive integer, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tiles from 1 up")
    return int(text)


def benchmark(args: argparse.Namespace) -> None:
    """Measure one config after the other, each in a process of its own, whose memory is its own."""
    from oil_storage.reporting.results import record

    for path in args.configs:
        configuration.read(path)
    if args.record and not args.record.is_dir():
        raise UserError(f"--record {args.record}: no such folder")
    if not args.alone and (load := os.getloadavg()[0]) > BUSY:
        print(f"warning: other work is on this machine (load {load:.1f}), so times come out longer", file=sys.stderr)
    if args.alone:
        print(json.dumps(_measure(args)))
        return
    for path in args.configs:
        flags = ["--device", args.device, "--seconds", str(args.seconds), "--alone"]
        flags += ["--amp"] if args.amp else []
        flags += ["--batch", str(args.batch)] if args.batch else []
        command = [sys.executable, "-m", "oil_storage.cli.benchmark", str(path), *flags]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise UserError(f"{path}: could not be measured")
        cost = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{path.stem}: {cost['parameters'] / 1e6:.1f} M parameters, {cost['gflops']:.1f} GFLOPs at "
            f"{'x'.join(map(str, cost['input']))} px; a tile takes {cost['inference']['p50']:.3g} s "
            f"(p95 {cost['inference']['p95']:.3g}), in training {cost['training']['p50']:.3g} s in batches of "
            f"{cost['training']['batch']}; memory {cost['memory_gb']:.1f} GB; {cost['hardware']}, {cost['precision']}",
            flush=True,
        )
        if args.record:
            record(args.record, path.stem, "speed", cost)


def _measure(args: argparse.Namespace) -> dict[str, object]:
    configuration.choose_device(args.device)
    configuration.quieten()

    from oil_storage.evaluation.cost import cost_of

    cfg = configuration.read(args.configs[0])
    if args.amp:
        cfg.optim_wrapper.type = "Bf16OptimWrapper"
    if args.batch:
        cfg.train_dataloader.batch_size = args.batch
    return cost_of(cfg, args.seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/benchmark.py``."""
    return run(build_parser(), benchmark, argv)


if __name__ == "__main__":
    sys.exit(main())
