"""Score detections of whole scenes, of any tool, against boxes in any format; no model is needed."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oil_storage import __version__
from oil_storage.cli import configuration, source
from oil_storage.cli.command import run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.evaluation.scene_result import SceneResult
    from oil_storage.merging import Detections

NAMED = 5
"""Scenes that are named where many are meant."""


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    from oil_storage.annotations.formats import FORMATS

    parser = argparse.ArgumentParser(prog="tools/evaluate.py", description=__doc__)
    parser.add_argument(
        "detections",
        type=Path,
        metavar="DETECTIONS",
        help=".json (COCO), .csv (scene, xmin, ymin, xmax, ymax, score), or .geojson called like its scene, or a "
        "folder of GeoJSON",
    )
    parser.add_argument(
        "truth",
        type=Path,
        metavar="GROUND_TRUTH",
        help="folder in a format that tools/prepare_dataset.py reads, or COCO json, as prepared data's scenes/val.json",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for what is written; tools/report.py compares it"
    )
    parser.add_argument(
        "--format", choices=tuple(FORMATS), help="format of the GROUND_TRUTH folder (default: the one that it has)"
    )
    parser.add_argument("--class-map", metavar="NAME=CLASS,...", help="as in tools/prepare_dataset.py")
    parser.add_argument("--allow", action="store_true", help="score in spite of errors in the GROUND_TRUTH folder")
    parser.add_argument(
        "--score-thr",
        type=float,
        metavar="SCORE",
        help="detections below do not count for F1 and numbers of tanks"
        " (default: the threshold of the best F1 here, which flatters)",
    )
    source.add_reading(parser)
    return parser


def evaluate(args: argparse.Namespace) -> None:
    """Score, print and write the figures."""
    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise UserError(f"--score-thr {args.score_thr:g}: must be from 0 to 1")
    if not args.detections.exists():
        raise UserError(f"{args.detections}: no such file or folder")
    _check_truth(args)
    _check_out(args)
    configuration.quieten()

    from oil_storage.evaluation.curves import curve
    from oil_storage.evaluation.detections_file import read_detections
    from oil_storage.evaluation.matching import match_scenes
    from oil_storage.evaluation.scene_metric import read_scenes
    from oil_storage.evaluation.scene_result import truth_sha256
    from oil_storage.evaluation.scene_score import coco_detections, coco_truth, score_scenes
    from oil_storage.files import write_json
    from oil_storage.imagery import Reading
    from oil_storage.reporting.figure_text import scene_table
    from oil_storage.reporting.score_files import DETECTIONS, METRICS, TRUTH
    from oil_storage.reporting.score_report import PAGE, from_scenes, write_report

    truth, images = (read_scenes(args.truth), {}) if args.truth.is_file() else _read_folder(args)
    names = _image_ids(args.truth) if args.truth.is_file() else {}
    found = read_detections(args.detections, names, images)
    scenes = match_scenes(_beside(truth, found, args.detections))
    threshold = args.score_thr if args.score_thr is not None else curve(scenes).best_threshold() or 0.0
    figures = score_scenes(scenes, threshold)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / METRICS
    path.unlink(missing_ok=True)  # of an earlier score, whose other files are about to go
    results = [one.result for one in scenes]
    chosen = "given" if args.score_thr is not None else "best F1 on these scenes"
    head = {
        "detections": str(args.detections),
        "ground_truth": str(args.truth),
        "ground_truth_sha256": truth_sha256(results),
        "threshold_is": chosen,
        "oil_storage": __version__,
    }
    coco_detections(results).save(args.out / DETECTIONS)
    coco_truth(results).save(args.out / TRUTH)
    write_report(
        args.out,
        args.detections.name,
        {name.replace("_", " "): value for name, value in head.items()},
        scenes,
        figures,
        from_scenes(images),
        Reading(args.bands or None, args.stretch or None),
    )
    write_json(path, {**head, **figures})  # the last, so that where it is, all is
    boxes = sum(len(one.result.truth) for one in scenes)
    print(f"{len(scenes)} scenes, {boxes} boxes\n{scene_table(figures)}")
    if args.score_thr is None:
        print("that threshold is the best for these very scenes; give --score-thr for a fair F1")
    print(f"figures: {path}\npage: {args.out / PAGE}")


def _check_truth(args: argparse.Namespace) -> None:
    if not args.truth.exists():
        raise UserError(f"{args.truth}: no such file or folder")
    if args.truth.is_file() and (args.format or args.class_map or args.allow or args.bands or args.stretch):
        raise UserError(f"{args.truth}: is a file; --format, --class-map, --allow, --bands, --stretch are for folders")
    if (args.truth / "manifest.json").is_file():
        raise UserError(
            f"{args.truth}: is prepared data; name the split to score on: {args.truth / 'scenes' / 'val.json'}"
        )


def _check_out(args: argparse.Namespace) -> None:
    """Nothing that is read may be written over."""
    from oil_storage.files import check_apart
    from oil_storage.reporting.score_files import METRICS, TRUTH

    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"{args.out}: is a file; name a folder")
    if args.truth.is_dir():
        check_apart(args.truth, args.out)
    for path in (args.detections, args.truth):
        if path.is_file() and path.resolve().parent == args.out.resolve():
            raise UserError(f"--out {args.out}: holds {path}; name another folder")
    if args.detections.is_dir():
        check_apart(args.detections, args.out)
    if (args.out / METRICS).exists() and not (args.out / TRUTH).exists():
        raise UserError(f"--out {args.out}: holds the {METRICS} of another tool; name another folder")


def _read_folder(args: argparse.Namespace) -> "tuple[dict[str, SceneResult], dict[str, Path]]":
    """Scenes without detections, and their image files."""
    import numpy as np

    from oil_storage.annotations import formats
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.audit.records import audit, check_usable
    from oil_storage.evaluation.scene_result import SceneResult
    from oil_storage.imagery import Reading
    from oil_storage.preparation.resampling import mean_ground_resolution

    scenes, findings = audit(
        formats.read(args.truth, args.format),
        parse_class_map(args.class_map),
        Reading(args.bands or None, args.stretch or None),
    )
    check_usable(findings, args.truth, args.allow)
    for finding in findings:
        print(finding)
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    results = {}
    for one in scenes:
        gsd = mean_ground_resolution(one)
        results[one.scene_id] = SceneResult(one.scene_id, one.width, one.height, one.boxes, *none, gsd=gsd)
    return results, {one.scene_id: one.image for one in scenes}


def _image_ids(truth: Path) -> dict[int | str, str]:
    from oil_storage.annotations.images import scene_name
    from oil_storage.coco import CocoFile

    return {image.id: scene_name(image.file_name) for image in CocoFile.load(truth).images}


def _beside(truth: "Mapping[str, SceneResult]", found: "Mapping[str, Detections]", path: Path) -> "list[SceneResult]":
    """Put detections and boxes of each scene together, and say what is on one side alone."""
    from dataclasses import replace

    if found and not truth.keys() & found.keys():
        raise UserError(
            f"{path}: of other scenes: none of {_listed(list(found))} is in the ground truth, which has "
            f"{_listed(list(truth))}; scenes match by the names of their image files, without suffix"
        )
    if unknown := [name for name in found if name not in truth]:
        print(
            f"left out: {sum(len(found[name].scores) for name in unknown)} detections in {len(unknown)} scenes that "
            f"the ground truth lacks: {_listed(unknown)}"
        )
    if bare := [name for name in truth if name not in found]:
        print(f"no detections in {len(bare)} of {len(truth)} scenes, whose boxes count as missed: {_listed(bare)}")
    beside, outside = [], {}
    for name, scene in truth.items():
        if name in found:
            boxes, scores = found[name]
            over = (boxes[:, 0] < 0) | (boxes[:, 1] < 0) | (boxes[:, 2] > scene.width) | (boxes[:, 3] > scene.height)
            if over.any():
                outside[name] = int(over.sum())
            scene = replace(scene, boxes=boxes, scores=scores)
        beside.append(scene)
    if outside:
        print(
            f"{sum(outside.values())} boxes reach outside their images, in {_listed(list(outside))}; "
            "they are scored as they are"
        )
    return beside


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), evaluate, argv)
