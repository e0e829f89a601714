"""Record tested runs in results/ and bring README.md's and configs/README.md's tables up to date, or compare runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli import configuration
from oil_storage.cli.command import run
from oil_storage.errors import UserError
from oil_storage.files import write_text


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    parser = argparse.ArgumentParser(prog="tools/report.py", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="work dir of a trained and tested run")
    parser.add_argument(
        "--split", choices=("val", "test"), default="val", help="split to record (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: %(default)s")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="default: %(default)s")
    parser.add_argument(
        "--configs", type=Path, default=Path("configs"), help="its README.md holds the line-up (default: %(default)s)"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="DIR", help="write a comparison of the runs into DIR, and record nothing"
    )
    return parser


def report(args: argparse.Namespace) -> None:
    """Record the runs and rewrite the tables; nothing is written before all is found in order."""
    if args.compare is not None:
        return _compare(args)
    from oil_storage.reporting.line_up import line_up
    from oil_storage.reporting.results import committed, markdown, measured, read, record, replaced

    front, line_up_page = Page(args.readme, "results"), Page(args.configs / "README.md", "configs")
    runs_of = committed(args.results)
    changed = []
    for work_dir in args.runs:
        config, one = measured(work_dir, args.split)
        runs_of[config] = replaced(runs_of.get(config, []), one)
        changed.append(config)
    shown = markdown(dict(sorted(runs_of.items())))
    known = read(args.results)
    for config in changed:
        known.setdefault(config, {})["runs"] = runs_of[config]
    compared = line_up(args.configs / "oil", known)
    for config in changed:
        print(f"recorded in {record(args.results, config, 'runs', runs_of[config])}")
    front.write(shown)
    line_up_page.write(compared)
    print(shown, end="")
    return None


def _compare(args: argparse.Namespace) -> None:
    configuration.quieten()

    from oil_storage.reporting.comparison import write_comparison
    from oil_storage.reporting.results import read
    from oil_storage.reporting.score_files import METRICS
    from oil_storage.reporting.tested_run import read_run

    if not args.runs:
        raise UserError("--compare: name the runs to be compared")
    if args.compare.exists() and not args.compare.is_dir():
        raise UserError(f"--compare {args.compare}: is a file; name a folder")
    if (args.compare / METRICS).exists():
        raise UserError(f"--compare {args.compare}: holds a run's score; name another folder")
    runs = [read_run(work_dir, args.split) for work_dir in args.runs]
    print(write_comparison(args.compare, runs, read(args.results), args.split), end="")
    print(f"page: {args.compare / 'comparison.html'}")


class Page:
    """A Markdown page with a place for a table between ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Args:
        path: of the page.
        name: of the place.

    Raises:
        UserError: the page has no such place.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = path.read_text(encoding="utf-8").partition(begin)
        _, found_end, after = rest.partition(end)
        if not found or not found_end:
            raise UserError(f"{path}: lacks the lines {begin.strip()} and {end}, in this order, for the table")
        self.before, self.after = before + begin, end + after

    def write(self, table: str) -> None:
        """Put a table into the place."""
        write_text(self.path, self.before + table + self.after)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), report, argv)
