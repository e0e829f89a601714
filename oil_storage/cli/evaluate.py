"""Score the detections of any tool in whole scenes against the ground truth. No model is needed."""

import argparse
from dataclasses import replace
from functools import partial

from oil_storage import __version__
from oil_storage.cli.arguments import add_reading, file_path, reading_of, share
from oil_storage.cli.command import hide_warnings, run
from oil_storage.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    from oil_storage.annotations.formats import FORMATS

    parser = argparse.ArgumentParser(prog="tools/evaluate.py", description=__doc__)
    parser.add_argument(
        "detections",
        type=file_path,
        metavar="DETECTIONS",
        help="COCO .json file, .csv file (scene, xmin, ymin, xmax, ymax, score), .geojson file named after its scene, "
        "folder of .geojson files, or folder of YOLO .txt files with a confidence in each line",
    )
    truth = "folder of labelled images, or COCO .json file, e.g. scenes/val.json in a prepared folder"
    parser.add_argument("truth", type=file_path, metavar="GROUND_TRUTH", help=truth)
    out = "output folder; tools/report.py --compare reads it"
    parser.add_argument("--out", type=file_path, required=True, metavar="DIR", help=out)
    parser.add_argument(
        "--format", choices=tuple(FORMATS), help="format of the GROUND_TRUTH folder (default: detected)"
    )
    class_map = "meaning of the classes in both inputs, see tools/prepare_dataset.py --help"
    parser.add_argument("--class-map", metavar="NAME=CLASS,...", help=class_map)
    parser.add_argument("--allow", action="store_true", help="continue if the GROUND_TRUTH folder has errors")
    threshold = "score threshold for F1 and counts (default: the threshold with the highest F1 on these scenes)"
    parser.add_argument("--score-thr", type=share, metavar="SCORE", help=threshold)
    images = "folder of the images of the scenes, for the report (default: GROUND_TRUTH, if that is a folder)"
    parser.add_argument("--images", metavar="DIR", help=images)
    add_reading(parser)
    return parser


def evaluate(args: argparse.Namespace) -> None:
    """Score the detections; print and write the scores."""
    _check_paths(args)
    hide_warnings()

    from oil_storage.annotations.images import find_scenes, scene_name
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.evaluation.curves import curve
    from oil_storage.evaluation.detections_file import read_detections
    from oil_storage.evaluation.ground_truth import read_coco, read_folder, with_detections
    from oil_storage.evaluation.matching import match_scenes, truth_sha256
    from oil_storage.evaluation.scene_score import score_scenes
    from oil_storage.figures import EvaluationRecord
    from oil_storage.reporting.formatting import scene_table
    from oil_storage.reporting.score_report import PAGE, from_scenes
    from oil_storage.reporting.scored_run import METRICS, write_evaluated

    class_map = parse_class_map(args.class_map)
    images = {scene_name(path.name): path for path in find_scenes([args.images])} if args.images else {}
    if args.truth.is_file():
        truth = read_coco(args.truth, class_map if args.class_map else None, images)
    else:
        truth = read_folder(args.truth, args.format, class_map, args.allow, reading_of(args))
    images = images or truth.images
    detections = read_detections(args.detections, replace(truth, images=images), class_map)
    results = with_detections(truth.scenes, detections, args.detections)
    scenes = match_scenes(results)
    threshold = args.score_thr if args.score_thr is not None else curve(scenes).best_threshold() or 0.0
    figures = score_scenes(scenes, threshold)
    record = EvaluationRecord(
        detections=str(args.detections),
        ground_truth=str(args.truth),
        ground_truth_sha256=truth_sha256(results),
        threshold_is="given" if args.score_thr is not None else "best F1 on these scenes",
        oil_storage=__version__,
        **figures.model_dump(exclude_unset=True),
    )
    write_evaluated(args.out, record, scenes, from_scenes(images), reading_of(args))
    print(f"{len(scenes)} scenes, {sum(len(result.truth) for result in results)} boxes\n{scene_table(figures)}")
    if args.score_thr is None:
        print("the threshold was chosen on these scenes, so F1 is too high; give --score-thr for a fair F1")
    print(f"figures: {args.out / METRICS}\npage: {args.out / PAGE}")


def _check_paths(args: argparse.Namespace) -> None:
    """Raise UserError if an input is missing, or if the output folder contains an input or files of another tool."""
    from oil_storage.files import check_apart

    for path in (args.detections, args.truth):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
        if path.is_dir():
            check_apart(path, args.out)
        elif path.resolve().parent == args.out.resolve():
            raise UserError(f"--out {args.out}: contains the input {path}; use another folder")
    if args.truth.is_file() and (args.format or args.allow):
        raise UserError(f"{args.truth}: --format and --allow need a folder, not a file")
    if args.truth.is_file() and (args.bands or args.stretch) and not args.images:
        raise UserError(f"{args.truth}: --bands and --stretch need images; add --images DIR")
    if (args.truth / "manifest.json").is_file():
        split = args.truth / "scenes" / "val.json"
        raise UserError(f"{args.truth}: is a prepared folder; use one of its splits, e.g. {split}")
    if (args.out / "metrics.json").exists() and not (args.out / "ground_truth.json").exists():
        raise UserError(f"--out {args.out}: contains the metrics.json of another tool; use another folder")


main = partial(run, build_parser, evaluate)
