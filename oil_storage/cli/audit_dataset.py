"""Check images and annotations, and whether the boxes sit on the objects."""

import argparse
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from oil_storage.cli.arguments import add_source, file_path, reading_of
from oil_storage.cli.command import quieten_libraries, run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.audit.inspection import Inspected


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    from oil_storage.annotations.formats import WRITABLE

    description = f"{__doc__} Exit status: 0 if the data has no errors, 1 if it has errors, 2 if the audit fails."
    parser = argparse.ArgumentParser(prog="tools/audit_dataset.py", description=description)
    add_source(parser)
    parser.add_argument("--strict", action="store_true", help="count repairs and warnings as errors")
    parser.add_argument(
        "--report", type=file_path, metavar="FILE.html", help="write a report as a self-contained HTML page"
    )
    parser.add_argument("--config", type=file_path, help="report how many boxes match the anchors of a config")
    parser.add_argument("--fix", type=file_path, metavar="OUT", help="write the repaired data to a new folder")
    parser.add_argument("--to", choices=WRITABLE, default="airbus", help="format of OUT (default: %(default)s)")
    return parser


def audit_dataset(args: argparse.Namespace) -> int:
    """Audit a data set, print the findings, and write the requested files."""
    from oil_storage import config
    from oil_storage.annotations import formats
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.audit.inspection import inspect
    from oil_storage.files import check_apart
    from oil_storage.findings import Severity, gravest_last

    class_map = parse_class_map(args.class_map)
    cfg = config.load(args.config) if args.config else None
    if args.report and (args.report.is_dir() or not args.report.parent.is_dir()):
        raise UserError(f"--report {args.report}: must be a file in an existing folder, e.g. audit.html")
    if args.fix:
        check_apart(args.source, args.fix)
        formats.check_is_free(args.fix)
    annotations = formats.read(args.source, args.format)
    inspected = inspect(annotations, class_map, reading_of(args))
    for finding in gravest_last(inspected.findings):
        print(finding)
    print(summary(inspected))
    matched = ""
    if cfg:
        quieten_libraries()

        from oil_storage.audit.coverage import anchor_coverage
        from oil_storage.engine.runner import use_scope

        use_scope(cfg)
        matched = f"{args.config}\n{anchor_coverage(cfg, inspected.scenes)}"
        print(matched)
    if args.report:
        from oil_storage.reporting.audit_page import write_page

        write_page(args.report, args.source, inspected, matched)
        print(f"report: {args.report}")
    if args.fix:
        from oil_storage.audit.repair import write_repaired

        for line in write_repaired(annotations, inspected, class_map, args.fix, args.to):
            print(line)
    stopping = set(Severity) if args.strict else {Severity.ERROR}
    return int(any(finding.severity in stopping for finding in inspected.findings))


def summary(inspected: "Inspected") -> str:
    """Summarise an audit in a few lines."""
    counts = Counter((finding.severity, finding.check) for finding in inspected.findings)
    alignment = inspected.alignment
    answers = Counter(verdict.answer for verdict in alignment.scenes.values())
    boxes = sum(len(scene.boxes) for scene in inspected.fit)
    listed = ", ".join(f"{number} {check} ({severity})" for (severity, check), number in counts.items())
    lines = [
        f"{len(inspected.fit)} of {len(inspected.scenes)} scenes are fit for training, with {boxes} boxes; "
        + (listed or "no findings"),
        f"do the boxes sit on the objects? {alignment.statement}; by scene: "
        + ", ".join(f"{number} {answer}" for answer, number in sorted(answers.items())),
    ]
    if alignment.error:
        lines.append(f"measured: {alignment.error}")
    if inspected.suspects:
        lines.append(f"{len(inspected.suspects)} boxes contain no round object; --report shows the least round ones")
    for overlap in inspected.same_ground:
        lines.append(f"same ground: {overlap.first} and {overlap.second} share {overlap.shared:.0%}")
    return "\n".join(lines)


main = partial(run, build_parser, audit_dataset)
