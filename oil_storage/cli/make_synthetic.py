"""Render a labelled synthetic data set."""

import argparse
from collections.abc import Sequence

from oil_storage.cli.command import run
from oil_storage.cli.source import folder


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(
        prog="make_synthetic.py",
        description="Render satellite-like scenes of tank farms with exact boxes, in the layout of the Airbus set.",
    )
    parser.add_argument("out", type=folder, help="folder to make: OUT/images/*.jpg and OUT/annotations.csv")
    parser.add_argument("--scenes", type=int, default=24, help="number of scenes (default %(default)s)")
    parser.add_argument(
        "--size", type=int, default=1280, help="side of a scene in px, 256 to 8192 (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default %(default)s)")
    return parser


def _body(args: argparse.Namespace) -> None:
    from oil_storage.synthetic import make_synthetic

    boxes = make_synthetic(args.out, args.scenes, args.size, args.seed)
    print(f"{args.out}: {args.scenes} scenes of {args.size} px, {boxes} tanks")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run` for the exit status."""
    return run(build_parser(), _body, argv)
