"""Find the tanks of whole scenes: how many, where, how large, and the sites that they make."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from oil_storage import config
from oil_storage.cli.arguments import add_config, add_device, add_reading, count, number, share
from oil_storage.cli.command import choose_device, hide_warnings, is_first_process, run
from oil_storage.errors import UserError

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/detect.py", description=__doc__)
    add_config(parser)
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint that tools/train.py wrote, or what tools/export.py made of one"
    )
    parser.add_argument(
        "scenes",
        nargs="+",
        metavar="SCENE",
        help="JPEG, PNG, TIFF or GeoTIFF; a folder of such, a pattern in quotes, or a .txt with one in each line",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for what is found")
    parser.add_argument(
        "--score-thr", type=share, metavar="SCORE", help="least score (default: the one kept in the checkpoint)"
    )
    add_device(parser)
    parser.add_argument(
        "--batch-size",
        type=count,
        metavar="N",
        help="tiles at a time (default: CUDA: the config's; CPU: one for two cores)",
    )
    parser.add_argument(
        "--tile", type=count, metavar="PX", help="side of what the detector gets (default: the config's)"
    )
    parser.add_argument(
        "--overlap",
        type=int,
        default=128,
        metavar="PX",
        help="pixels of the scene that neighbouring tiles share (default: %(default)s)",
    )
    parser.add_argument(
        "--scale", type=number(0.1, 10), default=1.0, metavar="S", help="magnify scenes S times before tiling"
    )
    parser.add_argument(
        "--backend",
        choices=("torch", "onnx"),
        default="torch",
        help="onnx runs tools/export.py's file (default: by the suffix)",
    )
    parser.add_argument("--html", action="store_true", help="of each scene a page too, to zoom, with boxes to click")
    parser.add_argument(
        "--tta",
        action="store_true",
        help="look at each tile also turned by 180 degrees, or as the config's tta_pipeline says, and merge",
    )
    add_reading(parser, default="as in training")
    return parser


def detect(args: argparse.Namespace) -> int:
    """Detect in all scenes; exit status 1 where a scene was left out."""
    config.check_files(args.config, args.checkpoint)
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out}: is a file; name a folder")

    from oil_storage.annotations.images import find_scenes
    from oil_storage.inference.output_folder import PAGE, PICTURES, SUMMARY, detect_scenes
    from oil_storage.inference.scene_files import FORMATS

    scenes = find_scenes(args.scenes)

    choose_device(args.device)
    hide_warnings()
    names = ("score_thr", "batch_size", "tile", "overlap", "scale", "tta", "backend", "bands", "stretch")
    options = {name: getattr(args, name) for name in names}
    summary = detect_scenes(args.config, args.checkpoint, scenes, args.out, html=args.html, **options)
    for note in summary.notes():
        logger.info(note)
    for reason in summary.left_out.values():
        logger.warning("left out: %s", reason)
    if is_first_process():
        print(summary.table())
        endings = ", ".join([*FORMATS, PAGE] if args.html else FORMATS)
        files = f", {PICTURES}/, and of each scene {endings}" if summary.scenes else ""
        print(f"written to {args.out}: {SUMMARY}{files}")
        if summary.left_out:
            print(f"{len(summary.left_out)} of {len(scenes)} scenes were left out")
    return 1 if summary.left_out else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/detect.py``."""
    return run(build_parser(), detect, argv)
