"""Split labelled scenes into train, val and test and cut them into tiles."""

import argparse
import logging
from functools import partial

from oil_storage.cli.arguments import add_judging, add_source, file_path, fold_count, ground_resolution, number
from oil_storage.cli.command import run

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    description = f"{__doc__} To add tiles of another size with the same split, run the tool again with the same OUT."
    parser = argparse.ArgumentParser(prog="tools/prepare_dataset.py", description=description)
    add_source(parser)
    parser.add_argument("out", type=file_path, metavar="OUT", help="prepared folder, e.g. data/oil_storage")
    parser.add_argument("--tile", type=int, default=640, help="tile side in pixels (default: %(default)s)")
    parser.add_argument("--overlap", type=int, default=64, help="overlap of tiles in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=number(0, kind=int), default=0, help="seed of the split (default: %(default)s)")
    add_judging(parser)
    splits = parser.add_argument_group("splits")
    folds = "split into K folds (default: 70 %% train, 15 %% val, 15 %% test)"
    splits.add_argument("--folds", type=fold_count, metavar="K", help=folds)
    fold = "number of the test fold, starting at 0; the next fold is the val split (default: 0)"
    splits.add_argument("--fold", type=number(0, kind=int), default=0, metavar="N", help=fold)
    split_file = 'JSON file with the scenes of each split: {"train": [scene ids], "val": [...], "test": [...]}'
    splits.add_argument("--split-file", type=file_path, metavar="FILE", help=split_file)
    odd = parser.add_argument_group("odd boxes")
    min_side = "leave out boxes with a side of less than PX pixels after resampling"
    odd.add_argument("--min-side", type=number(0), default=0.0, metavar="PX", help=min_side)
    max_aspect = "leave out boxes whose longer side is more than R times as long as the shorter side"
    odd.add_argument("--max-aspect", type=number(0), default=0.0, metavar="R", help=max_aspect)
    ground = parser.add_argument_group("ground resolution")
    gsd = "resample scenes and boxes to this resolution, in metres per pixel"
    ground.add_argument("--gsd", type=ground_resolution, metavar="METRES", help=gsd)
    source_gsd = "resolution of scenes that are not georeferenced, in metres per pixel"
    ground.add_argument("--source-gsd", type=ground_resolution, metavar="METRES", help=source_gsd)
    return parser


def prepare_dataset(args: argparse.Namespace) -> None:
    """Prepare a data set, log the findings and print the sizes of the splits."""
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
        logger.info(
            "same ground: %s share %.0f%% of the smaller one; both are in one split",
            " and ".join(pair.scenes),
            100 * pair.shared,
        )
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
        logger.warning("%s: was missing or changed; written again", args.out / path)
    print(f"{'wrote' if prepared.is_new else 'already there:'} {args.out / 'tiles' / prepared.tiles}")


main = partial(run, build_parser, prepare_dataset)
