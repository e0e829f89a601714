"""Render satellite-like scenes of tank farms with exact boxes, in the layout of the Airbus set."""

import argparse
from collections.abc import Sequence

from oil_storage.cli.arguments import folder
from oil_storage.cli.command import run


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="make_synthetic.py", description=__doc__)
    parser.add_argument("out", type=folder, help="folder to make: OUT/images/*.jpg and OUT/annotations.csv")
    parser.add_argument("--scenes", type=int, default=24, help="number of scenes (default %(default)s)")
    parser.add_argument(
        "--size", type=int, default=1280, help="side of a scene in px, 256 to 8192 (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default %(default)s)")
    return parser


def make_synthetic(args: argparse.Namespace) -> None:
    """Render."""
    from oil_storage.synthetic import make_synthetic

    boxes = make_synthetic(args.out, args.scenes, args.size, args.seed)
    print(f"{args.out}: {args.scenes} scenes of {args.size} px, {boxes} tanks")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/make_synthetic.py``; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), make_synthetic, argv)
