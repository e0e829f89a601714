"""Render a labelled synthetic data set."""

import argparse
import multiprocessing
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from oil_storage.cli.command import run

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(
        prog="make_synthetic.py",
        description="Render satellite-like scenes of tank farms with exact boxes, in the layout of the Airbus set.",
    )
    parser.add_argument("out", type=Path, help="folder to make: OUT/images/*.jpg and OUT/annotations.csv")
    parser.add_argument("--scenes", type=int, default=24, help="number of scenes (default %(default)s)")
    parser.add_argument(
        "--size", type=int, default=1280, help="side of a scene in px, 256 to 8192 (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default %(default)s)")
    return parser


def _body(args: argparse.Namespace) -> None:
    from oil_storage.preparation.synthetic import make_synthetic

    previous = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        boxes = make_synthetic(args.out, args.scenes, args.size, args.seed)
    except SystemExit:
        print("terminated", file=sys.stderr)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    print(f"{args.out}: {args.scenes} scenes of {args.size} px, {boxes} tanks")


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave without waiting for scenes under way; what is there of them is removed on the way out."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    for worker in multiprocessing.active_children():
        worker.kill()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run` for the exit status, to which SIGTERM adds 143."""
    return run(build_parser(), _body, argv)
