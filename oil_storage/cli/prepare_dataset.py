"""Split labelled scenes into train, val and test and cut them into tiles."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli.arguments import add_judging, add_source, folder, number
from oil_storage.cli.command import run

logger = logging.getLogger(__name__)

FINEST_GSD = 0.001
"""Metres per pixel."""
FEWEST_FOLDS = 3
"""One tests, one validates, the others train."""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(
        prog="prepare_dataset.py",
        description=f"{__doc__} Another call with another tile geometry adds a tile set to the same OUT and keeps the "
        "split.",
    )
    add_source(parser)
    parser.add_argument("out", type=folder, metavar="OUT", help="prepared folder, e.g. data/oil_storage")
    parser.add_argument("--tile", type=int, default=640, help="tile side in pixels (default: %(default)s)")
    parser.add_argument("--overlap", type=int, default=64, help="pixels that neighbours share (default: %(default)s)")
    parser.add_argument("--seed", type=number(0, kind=int), default=0, help="seed of the split (default: %(default)s)")
    add_judging(parser)
    splits = parser.add_argument_group("splits")
    splits.add_argument(
        "--folds",
        type=number(FEWEST_FOLDS, kind=int),
        metavar="K",
        help="K folds instead of 70 : 15 : 15; one tests, one validates",
    )
    splits.add_argument(
        "--fold", type=number(0, kind=int), default=0, metavar="N", help="the fold to test on, from 0 (default: 0)"
    )
    splits.add_argument(
        "--split-file", type=Path, metavar="FILE", help='json: {"train": [scene ids], "val": [...], "test": [...]}'
    )
    odd = parser.add_argument_group("odd boxes")
    odd.add_argument(
        "--min-side", type=number(0), default=0.0, metavar="PX", help="leave out boxes with a shorter side, after --gsd"
    )
    odd.add_argument(
        "--max-aspect", type=number(0), default=0.0, metavar="R", help="leave out boxes longer than R widths"
    )
    ground = parser.add_argument_group("ground resolution")
    ground.add_argument(
        "--gsd",
        type=number(FINEST_GSD),
        metavar="METRES",
        help="resample scenes and boxes to so many metres per pixel; that of GeoTIFFs is known",
    )
    ground.add_argument(
        "--source-gsd",
        type=number(FINEST_GSD),
        metavar="METRES",
        help="metres per pixel of scenes that are not georeferenced",
    )
    return parser


def prepare_dataset(args: argparse.Namespace) -> None:
    """Prepare; log what was found and repaired, and print what was written."""
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.findings import gravest_last
    from oil_storage.manifest import SPLITS, Choices
    from oil_storage.preparation.prepare import prepare

    given = {name: getattr(args, name) for name in Choices.model_fields}
    given |= {
        "class_map": parse_class_map(args.class_map),
        "bands": args.bands or None,
        "stretch": args.stretch or None,
    }
    choices = Choices(**given)
    prepared = prepare(args.source, args.out, args.tile, args.overlap, args.seed, choices)
    for finding in gravest_last(prepared.findings):
        logger.info(str(finding))
    for pair in prepared.manifest.same_ground:
        logger.info("same ground: %s share %.0f%%; they are in one split", " and ".join(pair.scenes), 100 * pair.shared)
    if before := prepared.manifest.resampled_from:
        sides = [side for resolution in before.values() for side in resolution]
        logger.info(
            f"{len(before)} scenes of {min(sides):g} to {max(sides):g} m per pixel are resampled to {args.gsd:g}"
        )
    if prepared.left_out:
        logger.info(
            f"{prepared.left_out} boxes left out by --min-side {args.min_side:g} and --max-aspect {args.max_aspect:g}"
        )
    tile_set = prepared.manifest.tiles[prepared.tiles]
    for split in SPLITS:
        scenes, tiles = prepared.manifest.counts[split], tile_set.counts(split)
        print(
            f"{split:5} {scenes.scenes:4} scenes {scenes.boxes:6} boxes | "
            f"{tiles.tiles:5} tiles {tiles.boxes:6} boxes, at most {tiles.densest} in one"
        )
    for path in prepared.mended:
        logger.warning("%s: was missing or changed; made again", args.out / path)
    print(f"{'wrote' if prepared.is_new else 'already there:'} {args.out / 'tiles' / prepared.tiles}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/prepare_dataset.py``; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), prepare_dataset, argv)
