"""The arguments with which tools are told of labelled scenes, and of what to do with bad ones."""

import argparse
from pathlib import Path


def folder(text: str) -> Path:
    """A folder's name as an argument; an empty one, as a variable that is not set leaves it, would mean this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; name a folder")
    return Path(text)


def bands(text: str) -> tuple[int, int, int] | tuple[()]:
    """Parse the value of ``--bands``; ``file`` gives ``()``."""
    if text == "file":
        return ()
    try:
        red, green, blue = (int(part) for part in text.split(","))
    except ValueError:
        red = green = blue = 0
    if min(red, green, blue) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be three numbers from 1 up, as 3,2,1")
    return red, green, blue


def stretch(text: str) -> tuple[float, float] | tuple[()]:
    """Parse the value of ``--stretch``; ``none`` gives ``()``."""
    if text == "none":
        return ()
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not 0 <= low < high <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: must be two percentiles, as 2,98")
    return low, high


def add_reading(parser: argparse.ArgumentParser, default: str = "by the file") -> None:
    """Add ``--bands --stretch``, see :class:`oil_storage.imagery.Reading`.

    Args:
        parser: of the tool.
        default: what is done without these options.
    """
    reading = parser.add_argument_group("bands")
    reading.add_argument(
        "--bands",
        type=bands,
        metavar="R,G,B",
        help=f"bands that are red, green and blue, counted from 1; 'file' takes those of the file (default: {default})",
    )
    reading.add_argument(
        "--stretch",
        type=stretch,
        metavar="LOW,HIGH",
        help="percentiles of each band that become black and white; 'none' leaves 8 bits as they are and stretches "
        f"others by 2,98 (default: {'none' if default == 'by the file' else default})",
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add ``SOURCE --format --class-map --bands --stretch``."""
    from oil_storage.annotations.formats import FORMATS

    parser.add_argument("source", type=folder, metavar="SOURCE", help="folder with images and boxes")
    parser.add_argument("--format", choices=tuple(FORMATS), help="format of SOURCE (default: the one that it has)")
    parser.add_argument(
        "--class-map",
        metavar="NAME=CLASS,...",
        help='which classes of SOURCE are tanks and which are left out: "Storage Tank=oil-storage-tank,ship=-"',
    )
    add_reading(parser)


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow --strict``; see :func:`oil_storage.audit.records.check_usable`."""
    judging = parser.add_argument_group("errors")
    judging.add_argument(
        "--allow",
        action="store_true",
        help="go on in spite of errors: images that cannot be used are left out, boxes that seem misplaced are taken",
    )
    judging.add_argument("--strict", action="store_true", help="repairs and warnings stop as errors do")
