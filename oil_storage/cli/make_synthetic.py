"""Render synthetic satellite scenes of tank farms with exact boxes, in the layout of the Airbus data set."""

import argparse
from functools import partial

from oil_storage.cli.arguments import file_path, ground_resolution
from oil_storage.cli.command import run


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/make_synthetic.py", description=__doc__)
    parser.add_argument("out", type=file_path, help="new folder for images/*.jpg and annotations.csv")
    parser.add_argument("--scenes", type=int, default=24, help="number of scenes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=1280, help="side in pixels, 256 to 8192 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    gsd = "ground resolution in metres per pixel (default: %(default)s)"
    parser.add_argument("--gsd", type=ground_resolution, default=1.2, metavar="METRES", help=gsd)
    return parser


def make_synthetic(args: argparse.Namespace) -> None:
    """Render the scenes and print their number."""
    from oil_storage.synthetic import make_synthetic

    boxes = make_synthetic(args.out, args.scenes, args.size, args.seed, args.gsd)
    print(f"{args.out}: {args.scenes} scenes of {args.size} px at {args.gsd:g} m, {boxes} tanks")


main = partial(run, build_parser, make_synthetic)
