"""``tools/audit_dataset.py``: can these boxes be trusted?"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oil_storage.cli.command import run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from oil_storage.annotations import Annotations
    from oil_storage.audit.inspection import Inspected


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    from oil_storage.annotations.formats import WRITABLE
    from oil_storage.cli.source import add_source, folder

    parser = argparse.ArgumentParser(
        prog="audit_dataset.py",
        description="Check images and boxes, and whether the boxes sit on the objects. Exit status: 0 where nothing "
        "stops a training, 1 where errors were found, 2 where it could not run.",
    )
    add_source(parser)
    parser.add_argument("--strict", action="store_true", help="repairs and warnings count as errors")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write a page that stands alone")
    parser.add_argument("--config", type=Path, help="tell how many boxes its anchors can match")
    parser.add_argument("--fix", type=folder, metavar="OUT", help="write mended annotations and images to a new folder")
    parser.add_argument("--to", choices=WRITABLE, default="airbus", help="format of --fix's OUT (default: %(default)s)")
    return parser


def audit_dataset(args: argparse.Namespace) -> int:
    """Audit, print what was found, and write what was asked for."""
    from oil_storage.annotations import formats
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.audit.inspection import inspect
    from oil_storage.files import check_apart
    from oil_storage.findings import Severity, gravest_last
    from oil_storage.imagery import Reading

    class_map = parse_class_map(args.class_map)
    cfg = None
    if args.config:
        from oil_storage.cli import configuration

        configuration.quieten()
        cfg = configuration.read(args.config)
    if args.report and args.report.is_dir():
        raise UserError(f"--report {args.report}: is a folder; name a file, as audit.html")
    if args.report and not args.report.parent.is_dir():
        raise UserError(f"{args.report}: there is no folder {args.report.parent}; make it first")
    if args.fix:
        check_apart(args.source, args.fix)
        formats.check_is_free(args.fix)
    annotations = formats.read(args.source, args.format)
    inspected = inspect(annotations, class_map, Reading(args.bands or None, args.stretch or None))
    for finding in gravest_last(inspected.findings):
        print(finding)
    print(summary(inspected))
    matched = f"{args.config}\n{coverage(cfg, inspected)}" if cfg else ""
    print(matched, end="\n" if matched else "")
    if args.report:
        from oil_storage.reporting.audit_page import write_page

        write_page(args.report, args.source, inspected, matched)
        print(f"report: {args.report}")
    if args.fix:
        fix(annotations, inspected, class_map, args.fix, args.to)
    stopping = set(Severity) if args.strict else {Severity.ERROR}
    return int(any(finding.severity in stopping for finding in inspected.findings))


def summary(inspected: "Inspected") -> str:
    """What was found, in a few lines."""
    counts = Counter((finding.severity, finding.check) for finding in inspected.findings)
    answers = Counter(verdict.answer for verdict in inspected.alignment.scenes.values())
    alignment = inspected.alignment
    lines = [
        f"{len(inspected.fit)} of {len(inspected.scenes)} scenes are fit for training, with "
        f"{sum(len(scene.boxes) for scene in inspected.fit)} boxes; "
        + (
            ", ".join(f"{number} {check} ({severity})" for (severity, check), number in counts.items()) or "no findings"
        ),
        f"do the boxes sit on the objects? {alignment.statement}; by scene: "
        + ", ".join(f"{number} {answer}" for answer, number in sorted(answers.items())),
    ]
    if alignment.shift and alignment.size:
        lines.append(
            f"measured: common shift ({alignment.shift[0]:+.1f}, {alignment.shift[1]:+.1f}) px, "
            f"size {alignment.size:.2f} of what people draw"
        )
    if inspected.suspects:
        lines.append(f"{len(inspected.suspects)} single boxes are suspects: --report shows the least round")
    for overlap in inspected.same_ground:
        lines.append(f"same ground: {overlap.first} and {overlap.second} share {overlap.shared:.0%}")
    return "\n".join(lines)


def coverage(cfg: "Config", inspected: "Inspected") -> str:
    """What the priors of a config can match, in lines."""
    from oil_storage.audit.coverage import anchor_coverage

    return str(anchor_coverage(cfg, inspected.scenes))


def fix(
    annotations: "Annotations",
    inspected: "Inspected",
    class_map: dict[str, str | None],
    out: Path,
    to: str,
) -> None:
    """Write the mended data set and say what was undone; what is wrong after mending, too, is left as it was."""
    from oil_storage.annotations import formats
    from oil_storage.audit.alignment.verdict import Answer
    from oil_storage.audit.inspection import inspect
    from oil_storage.audit.records import audit
    from oil_storage.audit.repair import mend, without_boxes

    sizes = {scene.scene_id: (scene.width, scene.height) for scene in inspected.scenes}
    mended, undone = mend(annotations, inspected.alignment, sizes)
    again = inspect(mended, class_map, inspected.reading).alignment if undone else inspected.alignment
    before = inspected.alignment.scenes
    wrong = {
        name
        for name, verdict in again.scenes.items()
        if Answer.NO in (again.answer, verdict.answer)
        or (verdict.answer != Answer.YES and name in before and before[name].answer == Answer.NO)
    }
    first, (mended, undone) = undone, mend(annotations, inspected.alignment, sizes, wrong & undone.keys())
    for name in sorted(first.keys() - undone.keys()):
        print(f"left as it is: {name}: {first[name]}, but undoing that makes boxes no righter; look at it")
    for name, fault in sorted(undone.items()):
        print(f"undone in {name}: {fault}")
    for name in sorted(without_boxes(undone)):
        print(f"left out: {name}: its boxes belong to another scene, and none of another to it")
    scenes, _ = audit(mended, class_map, inspected.reading)
    formats.write(scenes, out, to)
    print(f"wrote {len(scenes)} scenes, {len(undone)} of them mended, to {out} ({to})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), audit_dataset, argv)
