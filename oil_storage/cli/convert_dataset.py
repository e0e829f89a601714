"""``tools/convert_dataset.py``: write a labelled folder of scenes in another format."""

import argparse
from collections.abc import Sequence

from oil_storage.cli.command import run


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    from oil_storage.annotations.formats import WRITABLE
    from oil_storage.cli.source import add_judging, add_source, folder

    parser = argparse.ArgumentParser(
        prog="convert_dataset.py",
        description="Write labelled scenes in another format. Their annotations are audited on the way: what is "
        "repaired, left out or odd is listed, and errors stop the conversion. Whether boxes sit on the objects "
        "audit_dataset.py tells. docs/formats.md tells of each format.",
    )
    add_source(parser)
    parser.add_argument(
        "out", type=folder, metavar="OUT", help="new or empty folder; appears when all of it is written"
    )
    parser.add_argument("--to", required=True, choices=WRITABLE, help="format of OUT")
    add_judging(parser)
    return parser


def convert_dataset(args: argparse.Namespace) -> None:
    """Convert and print what was found and written."""
    from oil_storage.annotations import formats
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.audit.records import audit, check_usable
    from oil_storage.files import check_apart
    from oil_storage.findings import gravest_last
    from oil_storage.imagery import Reading

    class_map = parse_class_map(args.class_map)
    check_apart(args.source, args.out)
    formats.check_is_free(args.out)
    annotations = formats.read(args.source, args.format)
    scenes, findings = audit(annotations, class_map, Reading(args.bands or None, args.stretch or None))
    for finding in gravest_last(findings):
        print(finding)
    check_usable(findings, args.source, args.allow, args.strict)
    for name in (name for name, meaning in class_map.items() if meaning is None):
        boxes = sum(record.class_name == name for record in annotations.records)
        print(f"{boxes} boxes of class {name!r} left out, as --class-map says")
    formats.write(scenes, args.out, args.to)
    boxes = sum(len(scene.boxes) for scene in scenes)
    print(f"wrote {len(scenes)} scenes with {boxes} boxes to {args.out} ({args.to})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), convert_dataset, argv)
