"""Detect tanks in whole scenes, with the position, diameter and site (group of neighbouring tanks) of each tank."""

import argparse
import logging
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from oil_storage import config, shipped
from oil_storage.cli.arguments import (
    add_backend,
    add_bbox,
    add_config,
    add_device,
    add_reading,
    add_tta,
    count,
    file_path,
    ground_resolution,
    number,
    share,
)
from oil_storage.cli.command import choose_device, hide_warnings, is_first_process, run
from oil_storage.errors import UserError

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``tools/detect.py``, which needs a config, a checkpoint and an output folder."""
    parser = argparse.ArgumentParser(prog="tools/detect.py", description=__doc__)
    add_config(parser)
    parser.add_argument("checkpoint", type=file_path, help="checkpoint that tools/train.py or tools/export.py wrote")
    _add_options(parser, out=None)
    return parser


def build_command() -> argparse.ArgumentParser:
    """Build the parser of ``oil-storage detect``, which needs only scenes."""
    parser = argparse.ArgumentParser(prog="oil-storage detect", description=__doc__)
    detector = parser.add_argument_group("detector")
    weights = (
        "detector that oil-storage export wrote (.onnx), or with the training stack a checkpoint (.pth, .safetensors) "
        "(default: the shipped detector)"
    )
    detector.add_argument("--weights", dest="checkpoint", type=file_path, metavar="FILE", help=weights)
    detector.add_argument("--config", type=file_path, help="config of --weights; .onnx files need none")
    _add_options(parser, out=Path("detections"))
    return parser


def _add_options(parser: argparse.ArgumentParser, out: Path | None) -> None:
    """Add the scenes and the options. If ``out`` is the default output folder, HTML pages are also a default."""
    scenes = (
        "image file, folder of images, quoted glob pattern, URL of a GeoTIFF, file or URL of a STAC item, or .txt file "
        "with one of these per line"
    )
    parser.add_argument("scenes", nargs="+", metavar="SCENE", help=scenes)
    asset = "asset of STAC items to read (default: visual, or else the only GeoTIFF)"
    parser.add_argument("--asset", metavar="NAME", help=asset)
    add_bbox(parser)
    folder = "output folder (default: %(default)s)" if out else "output folder"
    parser.add_argument("--out", type=file_path, default=out, required=out is None, metavar="DIR", help=folder)
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--score-thr", type=share, metavar="SCORE", help="score threshold (default: as stored in the checkpoint)"
    )
    false_alarms = "use the threshold that gave at most this number of false alarms per 100 km2 on the val scenes"
    threshold.add_argument("--false-alarms", type=int, choices=(100, 10, 1), help=false_alarms)
    add_device(parser)
    batch_size = (
        "tiles in a batch (default: on CUDA as in the config; on a CPU one tile, in PyTorch one for every two cores)"
    )
    parser.add_argument("--batch-size", type=count, metavar="N", help=batch_size)
    parser.add_argument(
        "--tile", type=number(64, 8192, int), metavar="PX", help="side of a tile in pixels (default: as in the config)"
    )
    overlap = "overlap of neighbouring tiles in pixels, after resampling (default: %(default)s)"
    parser.add_argument("--overlap", type=int, default=128, metavar="PX", help=overlap)
    add_backend(parser)
    html = f"also write interactive HTML pages and an index.html (default: {'yes' if out else 'no'})"
    parser.add_argument("--html", action=argparse.BooleanOptionalAction, default=out is not None, help=html)
    add_tta(parser)
    ground = parser.add_argument_group("ground resolution")
    source_gsd = "resolution of scenes that are not georeferenced, in metres per pixel"
    ground.add_argument("--source-gsd", type=ground_resolution, metavar="METRES", help=source_gsd)
    gsd = "resample scenes to this resolution, in metres per pixel (default: as in training)"
    target = ground.add_mutually_exclusive_group()
    target.add_argument("--gsd", type=ground_resolution, metavar="METRES", help=gsd)
    scale = "magnify all scenes by the factor S, regardless of their resolution"
    target.add_argument("--scale", type=number(0.1, 10), metavar="S", help=scale)
    add_reading(parser, default="as in training")


def _choose_detector(args: argparse.Namespace) -> None:
    """Set the config and the checkpoint to the shipped ones if none is given, and check the files.

    Raises:
        UserError: a file is missing, or only one of the two is given where both are needed.
    """
    if args.checkpoint is None:
        if args.config is not None:
            raise UserError(f"--config {args.config}: needs the weights of a training; give --weights")
        in_torch = args.backend == "torch" or args.tta or (args.backend is None and _torch_has_cuda(args.device))
        args.config, args.checkpoint = shipped.checkpoint() if in_torch else shipped.detector()
    is_onnx, has_torch = args.checkpoint.suffix.lower() == ".onnx", find_spec("torch") is not None
    if args.config is None and not is_onnx and has_torch:
        raise UserError(f"--weights {args.checkpoint}: needs the config of its training; give --config")
    config.check_files(args.config, args.checkpoint)
    if not is_onnx and not has_torch:
        raise UserError(
            f"{args.checkpoint}: needs the training stack; run make install in a clone of the repository, or give a "
            "detector that oil-storage export wrote (.onnx)"
        )


def _torch_has_cuda(device: str) -> bool:
    """Return whether torch is installed and sees a GPU; import torch only if there is a driver."""
    if device == "cpu" or not Path("/dev/nvidiactl").exists() or find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def detect(args: argparse.Namespace) -> int:
    """Detect tanks in all scenes; return exit status 0, 1 if a scene was left out, or 2 if all were."""
    _choose_detector(args)
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out}: is a file; use a folder")

    from oil_storage.inference.output_folder import INDEX, PAGE, PICTURES, SUMMARY, detect_scenes
    from oil_storage.inference.scene_files import FORMATS
    from oil_storage.inference.scene_sources import find_sources

    scenes = find_sources(args.scenes, args.asset)

    if args.checkpoint.suffix.lower() != ".onnx":
        choose_device(args.device)
    if shipped.is_shipped(args.checkpoint) and not (args.out / SUMMARY).exists():
        logger.info("licence of the shipped weights: %s", shipped.LICENCE)
    hide_warnings()
    names = (
        *("score_thr", "false_alarms", "batch_size", "tile", "overlap", "gsd", "source_gsd", "scale"),
        *("tta", "backend", "precision", "bands", "stretch", "bbox"),
    )
    options = {name: getattr(args, name) for name in names}
    options["device"] = None if args.device == "auto" else args.device
    summary = detect_scenes(args.config, args.checkpoint, scenes, args.out, html=args.html, **options)
    for note in summary.notes():
        logger.info(note)
    for warning in summary.warnings():
        logger.warning(warning)
    for path in summary.outside:
        logger.warning("%s: outside --bbox, not searched", path)
    for reason in summary.left_out.values():
        logger.warning("left out: %s", reason)
    if is_first_process():
        print(summary.table())
        endings = ", ".join([*FORMATS, PAGE] if args.html else FORMATS)
        files = f", {PICTURES}/, and for each scene {endings}" if summary.scenes else ""
        for line in filter(None, (summary.traffic(), summary.made_by.computed())):
            print(line)
        print(f"wrote to {args.out}: {f'{INDEX}, ' if args.html else ''}{SUMMARY}{files}")
        if summary.left_out:
            print(f"{len(summary.left_out)} of {len(scenes)} scenes were left out")
        if args.html:
            print(f"page: {args.out / INDEX}")
    return (1 if summary.scenes else 2) if summary.left_out else 0


main = partial(run, build_parser, detect)
command = partial(run, build_command, detect)
