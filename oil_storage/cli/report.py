"""``tools/report.py``: record tested runs in ``results/`` and bring README's table up to date."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli.command import run
from oil_storage.errors import UserError
from oil_storage.files import write_text

BEGIN, END = "<!-- results -->\n", "<!-- /results -->"


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(prog="tools/report.py", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="work dir of a trained and tested run")
    parser.add_argument(
        "--split", choices=("val", "test"), default="val", help="split to record (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: %(default)s")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="default: %(default)s")
    return parser


def report(args: argparse.Namespace) -> None:
    """Record the runs and rewrite the tables; nothing is written before all is found in order."""
    from oil_storage.reporting.results import committed, markdown, measured, record, replaced

    text = args.readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{args.readme}: lacks the lines {BEGIN.strip()} and {END}, in this order, for the table")
    runs_of = committed(args.results)
    changed = []
    for work_dir in args.runs:
        config, one = measured(work_dir, args.split)
        runs_of[config] = replaced(runs_of.get(config, []), one)
        changed.append(config)
    shown = markdown(dict(sorted(runs_of.items())))
    for config in changed:
        print(f"recorded in {record(args.results, config, 'runs', runs_of[config])}")
    write_text(args.readme, before + begin + shown + end + after)
    print(shown, end="")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), report, argv)
