"""Convert labelled scenes to another format."""

import argparse
import logging
from functools import partial
from typing import TYPE_CHECKING

from oil_storage.cli.arguments import add_judging, add_source, file_path, reading_of, share
from oil_storage.cli.command import run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.scene import Scene

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    from oil_storage.annotations.formats import WRITABLE

    description = (
        f"{__doc__} The tool lists annotations that are repaired, left out or unusual, and stops at errors. "
        "docs/formats.md describes the formats. tools/audit_dataset.py checks whether the boxes sit on the objects."
    )
    parser = argparse.ArgumentParser(prog="tools/convert_dataset.py", description=description)
    add_source(parser)
    parser.add_argument("out", type=file_path, metavar="OUT", help="new or empty folder")
    parser.add_argument("--to", required=True, choices=WRITABLE, help="format of OUT")
    detected = parser.add_argument_group("detections to correct")
    detections = (
        "write these detections instead of labels: SOURCE is a folder of images, and DETECTIONS what tools/evaluate.py "
        "reads; for a labelling tool, use --to cvat, label-studio or labelme"
    )
    detected.add_argument("--detections", type=file_path, metavar="DETECTIONS", help=detections)
    threshold = "lowest score of the detections (default: 0)"
    detected.add_argument("--score-thr", type=share, metavar="SCORE", help=threshold)
    add_judging(parser)
    return parser


def convert_dataset(args: argparse.Namespace) -> None:
    """Convert a data set, log the findings and print the result."""
    from oil_storage.annotations import formats
    from oil_storage.annotations.record import OTHERS, parse_class_map, with_usual_spellings
    from oil_storage.audit.records import audit, check_usable
    from oil_storage.files import check_apart
    from oil_storage.findings import gravest_last

    class_map = parse_class_map(args.class_map)
    check_apart(args.source, args.out)
    formats.check_is_free(args.out)
    if args.score_thr is not None and not args.detections:
        raise UserError("--score-thr needs --detections; labels have no scores")
    if args.detections:
        _convert_detections(args, class_map)
        return
    annotations = formats.read(args.source, args.format)
    scenes, findings = audit(annotations, class_map, reading_of(args))
    for finding in gravest_last(findings):
        logger.info(str(finding))
    check_usable(findings, args.source, args.allow, args.strict)
    meanings = with_usual_spellings(class_map, {record.class_name for record in annotations.records})
    for name in (name for name, target in meanings.items() if target is None and name != OTHERS):
        boxes = sum(record.class_name == name for record in annotations.records)
        logger.info("--class-map: %d boxes of class %r left out", boxes, name)
    _write(scenes, args)


def _convert_detections(args: argparse.Namespace, class_map: dict[str, str | None]) -> None:
    from oil_storage.evaluation.pre_labels import detected_scenes

    if args.format:
        raise UserError("--format has no effect with --detections, because the labels of SOURCE are not read; drop one")
    if not args.detections.exists():
        raise UserError(f"--detections {args.detections}: no such file or folder")
    if not args.source.is_dir():
        raise UserError(f"{args.source}: not a folder; give the folder of the images as SOURCE")
    scenes = detected_scenes(args.source, args.detections, args.score_thr or 0, class_map, reading_of(args))
    _write(scenes, args)


def _write(scenes: "list[Scene]", args: argparse.Namespace) -> None:
    from oil_storage.annotations import formats

    formats.write(scenes, args.out, args.to)
    boxes = sum(len(scene.boxes) for scene in scenes)
    print(f"wrote {len(scenes)} scenes with {boxes} boxes to {args.out} ({args.to})")


main = partial(run, build_parser, convert_dataset)
