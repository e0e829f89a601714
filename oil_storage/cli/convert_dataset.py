"""Convert labelled scenes to another format."""

import argparse
import logging
from functools import partial

from oil_storage.cli.arguments import add_judging, add_source, file_path, reading_of
from oil_storage.cli.command import run

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
    add_judging(parser)
    return parser


def convert_dataset(args: argparse.Namespace) -> None:
    """Convert a data set, log the findings and print the result."""
    from oil_storage.annotations import formats
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.audit.records import audit, check_usable
    from oil_storage.files import check_apart
    from oil_storage.findings import gravest_last

    class_map = parse_class_map(args.class_map)
    check_apart(args.source, args.out)
    formats.check_is_free(args.out)
    annotations = formats.read(args.source, args.format)
    scenes, findings = audit(annotations, class_map, reading_of(args))
    for finding in gravest_last(findings):
        logger.info(str(finding))
    check_usable(findings, args.source, args.allow, args.strict)
    for name in (name for name, target in class_map.items() if target is None):
        boxes = sum(record.class_name == name for record in annotations.records)
        logger.info("--class-map: %d boxes of class %r left out", boxes, name)
    formats.write(scenes, args.out, args.to)
    boxes = sum(len(scene.boxes) for scene in scenes)
    print(f"wrote {len(scenes)} scenes with {boxes} boxes to {args.out} ({args.to})")


main = partial(run, build_parser, convert_dataset)
