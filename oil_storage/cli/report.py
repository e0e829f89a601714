"""Record tested runs in results/ and bring the tables of the pages up to date, or compare runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from oil_storage.cli.command import quieten_libraries, run
from oil_storage.errors import UserError
from oil_storage.files import write_text


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/report.py", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="work dir of a trained and tested run")
    parser.add_argument(
        "--split", choices=("val", "test"), default="val", help="split to record (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: %(default)s")
    parser.add_argument(
        "--readme", type=Path, default=Path("README.md"), help="page of the short table (default: %(default)s)"
    )
    parser.add_argument(
        "--page", type=Path, default=Path("docs/results.md"), help="page of the full table (default: %(default)s)"
    )
    parser.add_argument(
        "--configs", type=Path, default=Path("configs"), help="its README.md holds their table (default: %(default)s)"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="DIR", help="write a comparison of the runs into DIR, and record nothing"
    )
    return parser


def report(args: argparse.Namespace) -> None:
    """Record the runs and rewrite the tables; nothing is written before everything is checked."""
    if args.compare is not None:
        return _compare(args)
    from oil_storage.figures import ConfigResults
    from oil_storage.reporting.config_table import config_table
    from oil_storage.reporting.results import BRIEF, markdown, measured, read, record, replaced

    config_page = args.configs / "README.md"
    known = read(args.results)
    changed = []
    for work_dir in args.runs:
        name, new = measured(work_dir, args.split)
        before = known.get(name, ConfigResults(config=name))
        known[name] = before.model_copy(update={"runs": replaced(before.runs, new)})
        changed.append(name)
    known = dict(sorted(known.items()))
    results = markdown(known)
    pages = {
        args.readme: _with_table(args.readme, "results", markdown(known, BRIEF)),
        args.page: _with_table(args.page, "results", results),
        config_page: _with_table(config_page, "configs", config_table(args.configs / "oil", known)),
    }
    for name in changed:
        print(f"recorded in {record(args.results, name, runs=known[name].runs)}")
    for path, text in pages.items():
        write_text(path, text)
    print(results, end="")
    return None


def _with_table(path: Path, name: str, table: str) -> str:
    """Return a page's text with ``table`` between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, has_begin, rest = path.read_text(encoding="utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise UserError(f"{path}: lacks the lines {begin.strip()} and {end}, in this order, for the table")
    return before + begin + table + end + after


def _compare(args: argparse.Namespace) -> None:
    if not args.runs:
        raise UserError("--compare: name the runs to be compared")
    if args.compare.exists() and not args.compare.is_dir():
        raise UserError(f"--compare {args.compare}: is a file; name a folder")
    quieten_libraries()

    from oil_storage.reporting.comparison import write_comparison
    from oil_storage.reporting.results import read
    from oil_storage.reporting.scored_run import METRICS, read_run

    if (args.compare / METRICS).exists():
        raise UserError(f"--compare {args.compare}: holds a run's score; name another folder")
    runs = [read_run(work_dir, args.split) for work_dir in args.runs]
    print(write_comparison(args.compare, runs, read(args.results), args.split), end="")
    print(f"page: {args.compare / 'comparison.html'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/report.py``; see :func:`oil_storage.cli.command.run`."""
    return run(build_parser(), report, argv)
