"""``tools/prepare_dataset.py``: cut a labelled folder of scenes into a data set that the configs train on."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli.command import run


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(
        prog="prepare_dataset.py",
        description="Split scenes into train, val and test and cut them into tiles. Another call with another tile "
        "geometry adds a tile set to the same OUT and keeps the split.",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with images/ and annotations.csv")
    parser.add_argument("out", type=Path, metavar="OUT", help="prepared folder, e.g. data/oil_storage")
    parser.add_argument("--tile", type=int, default=640, help="tile side in pixels (default: %(default)s)")
    parser.add_argument("--overlap", type=int, default=64, help="pixels that neighbours share (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: %(default)s)")
    return parser


def prepare_dataset(args: argparse.Namespace) -> None:
    """Prepare and print what was found, repaired and written."""
    from oil_storage.preparation.prepare import prepare
    from oil_storage.preparation.split import SPLITS

    prepared = prepare(args.source, args.out, args.tile, args.overlap, args.seed)
    for finding in prepared.findings:
        print(finding)
    tile_set = prepared.manifest["tiles"][prepared.tiles]
    for split in SPLITS:
        scenes, tiles = prepared.manifest["counts"][split], tile_set[split]
        print(
            f"{split:5} {scenes['scenes']:4} scenes {scenes['boxes']:6} boxes | "
            f"{tiles['tiles']:5} tiles {tiles['boxes']:6} boxes, at most {tiles['densest']} in one"
        )
    print(f"{'wrote' if prepared.is_new else 'already there:'} {args.out / 'tiles' / prepared.tiles}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), prepare_dataset, argv)
