"""Record tested runs in results/ and update the tables in the documentation, or compare runs."""

import argparse
from functools import partial
from pathlib import Path

from oil_storage.cli.arguments import file_path
from oil_storage.cli.command import quieten_libraries, run
from oil_storage.errors import UserError
from oil_storage.files import write_text


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/report.py", description=__doc__)
    parser.add_argument("runs", type=file_path, nargs="*", metavar="RUN", help="work dir of a tested run")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="scored split (default: %(default)s)")
    for name, default, content in (
        ("results", "results", "folder of the recorded results"),
        ("readme", "README.md", "page with the short table of results"),
        ("page", "docs/results.md", "page with the full table of results"),
        ("configs", "configs", "folder whose README.md contains the table of configs"),
    ):
        parser.add_argument(f"--{name}", type=file_path, default=Path(default), help=f"{content} (default: {default})")
    parser.add_argument(
        "--compare", type=file_path, metavar="DIR", help="write a comparison to DIR, and record nothing"
    )
    return parser


def report(args: argparse.Namespace) -> None:
    """Record the runs and update the tables. Check all inputs first, so that an error changes no file."""
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
    """Return the text of a page with ``table`` between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, has_begin, rest = path.read_text(encoding="utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise UserError(
            f"{path}: lacks the lines {begin.strip()} and {end}; add them, in this order, where the table belongs"
        )
    return before + begin + table + end + after


def _compare(args: argparse.Namespace) -> None:
    if not args.runs:
        raise UserError("--compare: no RUN is given; list the runs to compare")
    quieten_libraries()

    from oil_storage.reporting.comparison import write_comparison
    from oil_storage.reporting.results import read
    from oil_storage.reporting.scored_run import METRICS, read_run

    if (args.compare / METRICS).exists():
        raise UserError(f"--compare {args.compare}: contains the score of a run; use another folder")
    runs = [read_run(work_dir, args.split) for work_dir in args.runs]
    print(write_comparison(args.compare, runs, read(args.results), args.split), end="")
    print(f"page: {args.compare / 'comparison.html'}")


main = partial(run, build_parser, report)
