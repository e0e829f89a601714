"""Record training runs in results/ and update the tables and plots in the documentation, or compare runs."""

import argparse
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from oil_storage.cli.arguments import file_path
from oil_storage.cli.command import run
from oil_storage.errors import UserError
from oil_storage.files import write_bytes, write_text


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(prog="tools/report.py", description=__doc__)
    parser.add_argument("runs", type=file_path, nargs="*", metavar="RUN", help="work dir of a tested run")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="scored split (default: %(default)s)")
    for name, content in (
        ("trials", "work dirs of short runs that try learning rates, to record"),
        ("budgets", "work dirs of short runs, from whose speed the iterations of the benchmark follow, to record"),
    ):
        parser.add_argument(f"--{name}", type=file_path, nargs="+", default=[], metavar="RUN", help=content)
    for name, default, content in (
        ("results", "results", "folder of the recorded results"),
        ("readme", "README.md", "page with the short table of results and a plot"),
        ("page", "docs/results.md", "page with the full table of results"),
        ("benchmark", "docs/benchmark.md", "page with the tables of the benchmark; the plots are written beside it"),
        ("configs", "configs", "folder whose README.md contains the table of configs"),
    ):
        parser.add_argument(f"--{name}", type=file_path, default=Path(default), help=f"{content} (default: {default})")
    parser.add_argument(
        "--compare", type=file_path, metavar="DIR", help="write a comparison to DIR, and record nothing"
    )
    return parser


def report(args: argparse.Namespace) -> None:
    """Record the runs and update the pages. Check all inputs first, so that an error changes no page or record."""
    if args.compare is not None:
        return _compare(args)
    from oil_storage.figures import ConfigResults
    from oil_storage.reporting.benchmark_page import read_rows, tables
    from oil_storage.reporting.benchmark_plots import accuracy_and_time, learning_curves
    from oil_storage.reporting.config_table import config_table
    from oil_storage.reporting.results import BRIEF, OUTCOMES, markdown, measured, outcomes_path, read, record, replaced
    from oil_storage.reporting.short_runs import budget_of, short_run, with_trial

    known = read(args.results)
    changed: dict[str, None] = {}
    outcomes: dict[Path, Path] = {}

    def before(name: str) -> ConfigResults:
        changed[name] = None
        return known.get(name, ConfigResults(config=name))

    for work_dir in args.runs:
        name, new = measured(work_dir, args.split)
        known[name] = before(name).model_copy(update={"runs": replaced(before(name).runs, new)})
        outcomes[outcomes_path(args.results, name, new)] = work_dir / args.split / OUTCOMES
    for work_dir in args.trials:
        name, trial, _ = short_run(work_dir)
        known[name] = before(name).model_copy(update={"trials": with_trial(before(name).trials, trial)})
    for work_dir in args.budgets:
        name, trial, seconds = short_run(work_dir)
        known[name] = before(name).model_copy(update={"budget": budget_of(trial, seconds)})
    known = dict(sorted(known.items()))
    rows = read_rows(known, args.results, outcomes)
    results = markdown(known)
    time, curves = (args.benchmark.with_name(f"{name}.svg") for name in ("accuracy_time", "learning_curves"))
    plots = {time: accuracy_and_time(known, rows), curves: learning_curves(rows)}
    files = {path: plot for path, plot in plots.items() if plot is not None}

    def image(page: Path, path: Path, text: str) -> str:
        """Return Markdown that shows a plot on a page, or nothing if there is no such plot."""
        return f"![{text}]({os.path.relpath(path, page.parent)})\n" if path in files else ""

    config_page = args.configs / "README.md"
    pages = {
        args.readme: {
            "results": markdown(known, BRIEF),
            "plot": image(args.readme, time, "Tile AP of the benchmark's detectors and the time for a scene"),
        },
        args.page: {"results": results},
        args.benchmark: {
            **tables(known, rows),
            "plot": image(args.benchmark, time, "Tile AP and the time for a scene") or "Plot: not yet run.\n",
            "curves": image(args.benchmark, curves, "Learning curves") or "Learning curves: not yet run.\n",
        },
        config_page: {"configs": config_table(args.configs / "oil", known)},
    }
    texts = {path: _with_tables(path, content) for path, content in pages.items()}
    for path, source in outcomes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, source.read_bytes())
    for name in changed:
        parts = {part: getattr(known[name], part) for part in ("runs", "trials", "budget")}
        print(f"recorded in {record(args.results, name, **parts)}")
    for path, text in {**files, **texts}.items():
        write_text(path, text)
    print(results, end="")
    return None


def _with_tables(path: Path, tables: Mapping[str, str]) -> str:
    """Return the text of a page with each table between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, has_begin, rest = text.partition(begin)
        _, has_end, after = rest.partition(end)
        if not has_begin or not has_end:
            raise UserError(
                f"{path}: lacks the lines {begin.strip()} and {end}; add them, in this order, where the table belongs"
            )
        text = before + begin + table + end + after
    return text


def _compare(args: argparse.Namespace) -> None:
    if not args.runs:
        raise UserError("--compare: no RUN is given; list the runs to compare")
    from oil_storage.reporting.comparison import write_comparison
    from oil_storage.reporting.results import read
    from oil_storage.reporting.scored_run import METRICS, read_run

    if (args.compare / METRICS).exists():
        raise UserError(f"--compare {args.compare}: contains the score of a run; use another folder")
    runs = [read_run(work_dir, args.split) for work_dir in args.runs]
    print(write_comparison(args.compare, runs, read(args.results), args.split), end="")
    print(f"page: {args.compare / 'comparison.html'}")


main = partial(run, build_parser, report)
