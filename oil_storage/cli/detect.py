"""Find the tanks of whole scenes: how many, where, how large, and the sites that they make."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from oil_storage.cli import configuration
from oil_storage.cli.command import is_first_process, run
from oil_storage.errors import UserError

LONGEST_RUN = timedelta(days=365)
"""For which the first of several processes waits for the others."""


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    from oil_storage.cli.source import add_reading

    parser = argparse.ArgumentParser(prog="tools/detect.py", description=__doc__)
    parser.add_argument("config", type=Path, help="config file, e.g. configs/oil/ssd_lite0.py")
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
        "--score-thr", type=float, metavar="SCORE", help="least score (default: the one kept in the checkpoint)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA if there")
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="tiles at a time (default: CUDA: the config's; CPU: one for two cores)",
    )
    parser.add_argument("--tile", type=int, metavar="PX", help="side of what the detector gets (default: the config's)")
    parser.add_argument(
        "--overlap",
        type=int,
        default=128,
        metavar="PX",
        help="pixels of the scene that neighbouring tiles share (default: %(default)s)",
    )
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="magnify scenes S times before tiling")
    parser.add_argument(
        "--backend", choices=("torch", "onnx"), default="torch", help="onnx runs tools/export.py's file"
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
    """Detect in all scenes, writing each as it is done; exit status 1 where a scene was left out.

    Of several processes, which torchrun starts, each takes its share of the scenes; the first writes the summary.
    """
    for name in ("batch_size", "tile"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be at least 1")
    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise UserError(f"--score-thr {args.score_thr:g}: must be from 0 to 1")
    if not 0.1 <= args.scale <= 10:
        raise UserError(f"--scale {args.scale:g}: must be from 0.1 to 10")
    configuration.check_files(args.config, args.checkpoint)

    from oil_storage.annotations.images import find_scenes

    scenes = find_scenes(args.scenes)
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out}: is a file; name a folder")
    configuration.choose_device(args.device)
    configuration.quieten()
    args.cfg_options, args.work_dir, args.amp = [], None, False
    cfg = configuration.load(args)

    import torch
    from torch import distributed

    from oil_storage.files import sha256
    from oil_storage.inference.output_folder import PICTURES, OutputFolder
    from oil_storage.inference.scene_detector import SceneDetector

    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:
        distributed.init_process_group("gloo", timeout=LONGEST_RUN)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    detector = SceneDetector(
        cfg,
        args.checkpoint,
        score_thr=args.score_thr,
        batch_size=args.batch_size,
        tile=args.tile,
        overlap=args.overlap,
        scale=args.scale,
        tta=args.tta,
        backend=args.backend,
        bands=args.bands,
        stretch=args.stretch,
    )
    if detector.made_with not in (None, args.config.stem) and is_first_process():
        print(
            f"{args.checkpoint}: was trained with the config {detector.made_with}; {args.config.stem} may look at "
            "scenes otherwise, and find less",
            file=sys.stderr,
        )
    looks = cfg.model.to_dict(), [dict(step) for step in cfg.test_dataloader.dataset.pipeline]
    made_by = {
        "config": args.config.stem,
        "config_sha256": hashlib.sha256(json.dumps(looks, sort_keys=True, default=str).encode()).hexdigest(),
        "checkpoint_sha256": sha256(args.checkpoint),
        "score_threshold": detector.threshold,
        "tile": detector.reader.tile,
        "overlap": args.overlap,
        "scale": args.scale,
        "tta": args.tta,
        **asdict(detector.reader.reading),
        "html": args.html,
    }
    folder = OutputFolder(args.out, made_by, with_pages=args.html)
    folder.open()
    left_out = folder.detect(detector, scenes[rank::processes], quiet=not is_first_process())
    if processes > 1:
        of_all: list[dict[str, str]] = [{}] * processes
        distributed.all_gather_object(of_all, left_out)  # waits for all
        distributed.destroy_process_group()
        left_out = dict(item for one in of_all for item in one.items())
    if is_first_process():
        entries = folder.write_summary(scenes, left_out)
        print(_table(entries))
        _say_notes(entries)
        endings = ".geojson, .gpkg, .csv, .coco.json" + (", .html" if args.html else "")
        of_each = f", {PICTURES}/, and of each scene {endings}" if entries else ""
        print(f"written to {args.out}: summary.json{of_each}")
        if left_out:
            print(f"{len(left_out)} of {len(scenes)} scenes were left out")
    return 1 if left_out else 0


def _say_notes(entries: Sequence[dict[str, Any]]) -> None:
    """Say on stderr what was done to the stored pixels of scenes, a line for each kind."""
    scenes: dict[str, list[str]] = {}
    for one in entries:
        for note in one.get("notes", {}).values():
            scenes.setdefault(note, []).append(one["scene"])
    for note, names in scenes.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"{names[0]}{more}: {note}", file=sys.stderr)


def _table(entries: Sequence[dict[str, Any]]) -> str:
    width = max([len(one["scene"]) for one in entries] + [len("scene")])
    lines = [f"{'scene':<{width}}{'tanks':>8}{'sites':>8}  diameters"]
    for one in entries:
        unit = "px" if one["gsd"] is None else "m"
        spread = ", ".join(f"{span} {unit}: {count}" for span, count in one[f"diameters_{unit}"].items() if count)
        lines.append(f"{one['scene']:<{width}}{one['tanks']:>8}{len(one['sites']):>8}  {spread or '-'}")
    if len(entries) > 1:
        lines.append(f"{'all':<{width}}{sum(one['tanks'] for one in entries):>8}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/detect.py``."""
    return run(build_parser(), detect, argv)
