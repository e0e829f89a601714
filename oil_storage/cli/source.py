"""The arguments with which tools are told of labelled scenes, and of what to do with bad ones."""

import argparse
from pathlib import Path


def folder(text: str) -> Path:
    """A folder's name as an argument; an empty one, as a variable that is not set leaves it, would mean this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; name a folder")
    return Path(text)


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add ``SOURCE --format --class-map``."""
    from oil_storage.annotations.formats import FORMATS

    parser.add_argument("source", type=folder, metavar="SOURCE", help="folder with images and boxes")
    parser.add_argument("--format", choices=tuple(FORMATS), help="format of SOURCE (default: the one that it has)")
    parser.add_argument(
        "--class-map",
        metavar="NAME=CLASS,...",
        help='which classes of SOURCE are tanks and which are left out: "Storage Tank=oil-storage-tank,ship=-"',
    )


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow --strict``; see :func:`oil_storage.preparation.audit.check_usable`."""
    judging = parser.add_argument_group("errors")
    judging.add_argument(
        "--allow",
        action="store_true",
        help="go on in spite of errors: images that cannot be used are left out, boxes that seem misplaced are taken",
    )
    judging.add_argument("--strict", action="store_true", help="repairs and warnings stop as errors do")
