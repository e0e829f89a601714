"""Show augmented tiles with their boxes, as the model receives them."""

import argparse
import itertools
from functools import partial

from oil_storage import config
from oil_storage.cli.arguments import add_config, add_options, count, file_path, number
from oil_storage.cli.command import quieten_libraries, run


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    description = f"{__doc__} Train tiles appear in the order in which a training run with the same seed reads them."
    parser = argparse.ArgumentParser(prog="tools/browse_dataset.py", description=description)
    add_config(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="default: %(default)s")
    parser.add_argument(
        "--out", type=file_path, metavar="DIR", help="new or empty folder for the pictures (default: show them)"
    )
    parser.add_argument("--number", type=count, default=16, help="number of tiles (default: %(default)s)")
    parser.add_argument(
        "--seed", type=number(0, kind=int), help="seed of the order and the augmentation (default: as in the config)"
    )
    add_options(parser)
    return parser


def browse_dataset(args: argparse.Namespace) -> None:
    """Draw tiles with their boxes, and save or show the pictures."""
    config.check_files(args.config)
    if args.out is not None:
        from oil_storage.annotations.formats import check_is_free

        check_is_free(args.out)
    cfg = config.load(args.config, args.cfg_options)
    quieten_libraries()
    seed = args.seed if args.seed is not None else cfg.get("randomness", {}).get("seed") or 0

    from oil_storage.engine.samples import SHEET, check_display, read_samples, save, show

    if args.out is None:
        check_display()
    samples = itertools.islice(read_samples(cfg, args.split, seed), args.number)
    if args.out is None:
        show(samples)
    else:
        tiles, boxes = save(samples, args.out)
        print(f"{args.split} split, seed {seed}: {tiles} tiles with {boxes} boxes; overview: {args.out / SHEET}")


main = partial(run, build_parser, browse_dataset)
