"""Write labelled scenes in another format."""

import argparse
import logging
from collections.abc import Sequence

from oil_storage.cli.arguments import add_judging, add_source, folder, reading_of
from oil_storage.cli.command import run

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    from oil_storage.annotations.formats import WRITABLE

    parser = argparse.ArgumentParser(
        prog="convert_dataset.py",
        description=f"{__doc__} Their annotations are audited on the way: what is repaired, left out or odd is listed, "
        "and errors stop the conversion. audit_dataset.py tells whether boxes sit on the objects; docs/formats.md "
        "describes each format.",
    )
    add_source(parser)
    parser.add_argument(
        "out", type=folder, metavar="OUT", help="new or empty folder; appears when all of it is written"
    )
    parser.add_argument("--to", required=True, choices=WRITABLE, help="format of OUT")
    add_judging(parser)
    return parser


def convert_dataset(args: argparse.Namespace) -> None:
    """Convert; log the findings and print what was written."""
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
    for name in (name for name, meaning in class_map.items() if meaning is None):
        boxes = sum(record.class_name == name for record in annotations.records)
        logger.info("%d boxes of class %r left out, as --class-map says", boxes, name)
    formats.write(scenes, args.out, args.to)
    boxes = sum(len(scene.boxes) for scene in scenes)
    print(f"wrote {len(scenes)} scenes with {boxes} boxes to {args.out} ({args.to})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/convert_dataset.py``; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), convert_dataset, argv)
