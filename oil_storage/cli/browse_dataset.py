"""Show augmented tiles with their boxes, as the model receives them, or the tiles of a prepared folder."""

import argparse
import itertools
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from oil_storage import config
from oil_storage.cli.arguments import add_options, count, file_path, number
from oil_storage.cli.command import quieten_libraries, run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.reporting.tile_pictures import Sample


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    description = (
        f"{__doc__} With a config, which needs the training stack, train tiles appear in the order in which a training "
        "run with the same seed reads them."
    )
    parser = argparse.ArgumentParser(prog="tools/browse_dataset.py", description=description)
    source = "config file, e.g. configs/oil/ssd_lite0.py, or prepared folder"
    parser.add_argument("source", type=file_path, metavar="CONFIG", help=source)
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
    is_prepared = args.source.is_dir()
    if is_prepared and args.cfg_options:
        raise UserError("--cfg-options: needs a config, not a prepared folder; give a config or leave this option out")
    if not is_prepared:
        config.check_files(args.source)
    if args.out is not None:
        from oil_storage.annotations.formats import check_is_free

        check_is_free(args.out)
    seed, samples = _stored(args) if is_prepared else _augmented(args)

    from oil_storage.reporting.tile_pictures import SHEET, check_display, save, show

    if args.out is None:
        check_display()
    samples = itertools.islice(samples, args.number)
    if args.out is None:
        show(samples)
    else:
        tiles, boxes = save(samples, args.out)
        print(f"{args.split} split, seed {seed}: {tiles} tiles with {boxes} boxes; overview: {args.out / SHEET}")


def _stored(args: argparse.Namespace) -> tuple[int, Iterator["Sample"]]:
    """Return the seed and the tiles of a prepared folder."""
    from oil_storage.reporting.tile_pictures import stored_samples

    seed = args.seed or 0
    return seed, stored_samples(args.source, args.split, seed)


def _augmented(args: argparse.Namespace) -> tuple[int, Iterator["Sample"]]:
    """Return the seed and the tiles of the data set and pipeline of a config."""
    cfg = config.load(args.source, args.cfg_options)
    quieten_libraries()

    from oil_storage.engine.samples import read_samples

    seed: int = args.seed if args.seed is not None else cfg.get("randomness", {}).get("seed") or 0
    return seed, read_samples(cfg, args.split, seed)


main = partial(run, build_parser, browse_dataset)
