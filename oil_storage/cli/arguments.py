"""Command-line arguments that several tools share, and types of arguments."""

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oil_storage.imagery import Reading


def number(least: float, most: float = math.inf, kind: type[int] | type[float] = float) -> Callable[[str], float]:
    """Return an argparse type for finite numbers from ``least`` to ``most``."""
    bounds = f"from {least} to {most}" if most < math.inf else f"of at least {least}"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most or math.isinf(value):
            raise argparse.ArgumentTypeError(
                f"{text!r}: must be {'an integer' if kind is int else 'a number'} {bounds}"
            )
        return value

    return parse


count = number(1, kind=int)
"""Argument type for integers of at least 1."""
share = number(0, 1)
"""Argument type for numbers from 0 to 1."""
ground_resolution = number(0.001, 1000)
"""Argument type for ground resolutions in metres per pixel."""
fold_count = number(3, kind=int)
"""Argument type for a number of folds, at least 3: one each for train, val and test."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument ``CONFIG``."""
    parser.add_argument("config", type=file_path, metavar="CONFIG", help="config file, e.g. configs/oil/ssd_lite0.py")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help='override config values, e.g. optim_wrapper.optimizer.lr=1e-3 or key="[1,2]"; +KEY=VALUE adds a new key',
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if available")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add ``--backend`` and ``--precision``, see :func:`oil_storage.inference.runtimes.choose`."""
    backend = "inference runtime (default: the fastest that is installed for .onnx files, torch for other checkpoints)"
    parser.add_argument("--backend", choices=("onnx", "openvino", "torch"), help=backend)
    precision = "number format of .onnx files; auto is int8 where it is faster and as accurate (default: %(default)s)"
    parser.add_argument("--precision", choices=("float32", "int8", "auto"), default="auto", help=precision)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share."""
    add_config(parser)
    parser.add_argument("--work-dir", type=file_path, help="output folder (default: work_dirs/<config name>)")
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16 if the device supports it")
    add_options(parser)
    add_device(parser)
    launchers = ("none", "pytorch", "slurm")
    launcher = "how a distributed run was started; set by tools/dist_*.sh and tools/slurm_train.sh"
    parser.add_argument("--launcher", choices=launchers, default="none", help=launcher)
    # torch.distributed.launch passes the rank as an argument, torchrun in the environment
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_tta(parser: argparse.ArgumentParser) -> None:
    """Add ``--tta``."""
    tta = "test-time augmentation: also detect in transformed copies of each tile (default: rotated by 180 degrees)"
    parser.add_argument("--tta", action="store_true", help=tta)


def file_path(text: str) -> Path:
    """Parse the path of a file or folder; reject an empty string."""
    if not text:  # an unset shell variable; Path("") would be the current folder
        raise argparse.ArgumentTypeError("the name is empty; give a path")
    return Path(text)


def bands(text: str) -> tuple[int, ...]:
    """Parse the value of ``--bands``; return ``()`` for ``file``."""
    if text == "file":
        return ()
    if not re.fullmatch(r"\s*[1-9]\d*\s*(,\s*[1-9]\d*\s*){2}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be three band numbers from 1 up, e.g. 3,2,1")
    return tuple(map(int, text.split(",")))


def stretch(text: str) -> tuple[float, float] | tuple[()]:
    """Parse the value of ``--stretch``; return ``()`` for ``none``."""
    if text == "none":
        return ()
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not 0 <= low < high <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: must be two rising percentiles, e.g. 2,98")
    return low, high


def bounding_box(text: str) -> tuple[float, float, float, float]:
    """Parse the value of ``--bbox``."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        west = south = east = north = math.nan
    if not (-180 <= west <= 180 and -180 <= east <= 180 and west != east and -90 <= south < north <= 90):
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be west, south, east and north in degrees, e.g. 4.1,51.8,4.3,51.9"
        )
    return west, south, east, north


def add_bbox(parser: argparse.ArgumentParser) -> None:
    """Add ``--bbox``."""
    bbox = "search only this box: west, south, east and north in degrees, WGS 84; if W > E, it crosses the antimeridian"
    parser.add_argument("--bbox", type=bounding_box, metavar="W,S,E,N", help=bbox)
    # argparse would take a value that starts with a minus for an option
    parser._negative_number_matcher = re.compile(r"-\d*\.?\d+(,|$)")


def add_reading(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Add ``--bands`` and ``--stretch``, see :class:`oil_storage.imagery.Reading`.

    Args:
        parser: parser of the tool.
        default: default to state in both help texts; if empty, they state ``file`` and ``none``.
    """
    reading = parser.add_argument_group("bands")
    reading.add_argument(
        "--bands",
        type=bands,
        metavar="R,G,B",
        help="numbers of the red, green and blue bands, starting at 1, or 'file' for the bands that the file declares "
        f"(default: {default or 'file'})",
    )
    reading.add_argument(
        "--stretch",
        type=stretch,
        metavar="LOW,HIGH",
        help="contrast stretch: percentiles of each band that become black and white; with 'none', only bands with "
        f"more than 8 bits are stretched, by 2,98 (default: {default or 'none'})",
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add ``SOURCE``, ``--format``, ``--class-map``, ``--bands`` and ``--stretch``."""
    from oil_storage.annotations.formats import FORMATS

    parser.add_argument("source", type=file_path, metavar="SOURCE", help="folder of labelled images")
    parser.add_argument("--format", choices=tuple(FORMATS), help="format of SOURCE (default: detected)")
    parser.add_argument(
        "--class-map",
        metavar="NAME=CLASS,...",
        help="replace class names of SOURCE by oil-storage-tank, or leave classes out with a hyphen, e.g. "
        '"Storage Tank=oil-storage-tank,ship=-"',
    )
    add_reading(parser)


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow`` and ``--strict``, see :func:`oil_storage.audit.records.check_usable`."""
    judging = parser.add_argument_group("errors")
    judging.add_argument(
        "--allow",
        action="store_true",
        help="continue if the data has errors; leave out unusable images and keep boxes that seem misplaced",
    )
    judging.add_argument("--strict", action="store_true", help="treat repairs and warnings as errors")


def reading_of(args: argparse.Namespace) -> "Reading":
    """Return the reading that ``--bands`` and ``--stretch`` define."""
    from oil_storage.imagery import Reading

    return Reading(args.bands or None, args.stretch or None)
