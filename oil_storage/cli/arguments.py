"""Arguments that several tools have, and types of arguments."""

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oil_storage.imagery import Reading


def number(least: float, most: float = math.inf, kind: type[int] | type[float] = float) -> Callable[[str], float]:
    """Make an argparse type for finite numbers from ``least`` to ``most``."""
    bounds = f"from {least} to {most}" if most < math.inf else f"{least} or more"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(least) - 1
        if not least <= value <= most or math.isinf(value):
            raise argparse.ArgumentTypeError(
                f"{text!r}: must be {'an integer' if kind is int else 'a number'}, {bounds}"
            )
        return value

    return parse


def count(text: str) -> int:
    """Parse an integer from 1 up."""
    return int(number(1, kind=int)(text))


share = number(0, 1)
"""Parse a number from 0 to 1."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``CONFIG``."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="config file, e.g. configs/oil/ssd_lite0.py")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help='override the config, e.g. optim_wrapper.optimizer.lr=1e-3 or key="[1,2]"; +KEY=VALUE adds a key',
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA if there")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add what training and testing have in common."""
    add_config(parser)
    parser.add_argument("--work-dir", type=Path, help="output folder (default: work_dirs/<config name>)")
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16, on CPU and CUDA")
    add_options(parser)
    add_device(parser)
    launchers = ("none", "pytorch", "slurm")
    parser.add_argument("--launcher", choices=launchers, default="none", help="set by tools/dist_*.sh, slurm_train.sh")
    # torch.distributed.launch passes it; torchrun uses the environment
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def folder(text: str) -> Path:
    """Parse a folder's name; an empty one, as an unset variable leaves it, would mean this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; name a folder")
    return Path(text)


def bands(text: str) -> tuple[int, ...]:
    """Parse the value of ``--bands``; ``file`` gives ``()``."""
    if text == "file":
        return ()
    if not re.fullmatch(r"\s*[1-9]\d*\s*(,\s*[1-9]\d*\s*){2}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be three numbers from 1 up, as 3,2,1")
    return tuple(map(int, text.split(",")))


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


def reading_of(args: argparse.Namespace) -> "Reading":
    """Return what ``--bands`` and ``--stretch`` say."""
    from oil_storage.imagery import Reading

    return Reading(args.bands or None, args.stretch or None)
