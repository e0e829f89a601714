"""Experiments side by side: which detector is better, by how much, and whether that could be chance."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from oil_storage import __version__
from oil_storage.errors import UserError
from oil_storage.evaluation.curves import curve
from oil_storage.evaluation.uncertainty import Scored, differences, intervals
from oil_storage.files import write_bytes, write_text
from oil_storage.reporting.figure_text import brief, shown, span
from oil_storage.reporting.pages import png, png_uri
from oil_storage.reporting.tested_run import TestedRun

HEADER = (
    *("experiment", "runs", "seeds", "started from", "scene AP", "AP, 95 %", "less AP than the best"),
    *("scene AP50", "AP50, 95 %", "F1", "F1, 95 %", "less F1 than the best", "score threshold", "tiles", "tile AP"),
    *("iterations", "training, min", "M parameters", "s a tile", "hardware"),
)
DASH = "-"


@dataclass(frozen=True)
class Experiment:
    """Runs that differ in their seed or fold alone.

    Attributes:
        runs: at least one.
    """

    runs: Sequence[TestedRun]

    @property
    def name(self) -> str:
        """Of its config; of several experiments with one config the folders tell which is which."""
        return self.runs[0].config

    @property
    def scored(self) -> list[Scored]:
        """Scenes of each run, and the threshold of its F1."""
        return [(run.scenes, float(run.figures["threshold"])) for run in self.runs]

    def values(self, figure: str) -> list[float]:
        """A figure of the runs that have it."""
        return [float(run.figures[figure]) for run in self.runs if run.figures[figure] is not None]

    def mean(self, figure: str) -> float:
        """Of the runs; 0 where none has the figure."""
        return mean(self.values(figure) or [0.0])


def experiments(runs: Sequence[TestedRun]) -> list[Experiment]:
    """Put runs of one experiment together, the best scene AP first.

    Raises:
        UserError: one run named twice, or experiments scored on different scenes.
    """
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise UserError("a run is named twice")
    grouped: dict[tuple[str, ...], list[TestedRun]] = {}
    for run in runs:
        grouped.setdefault(run.experiment, []).append(run)
    found = [Experiment(sorted(group, key=lambda run: str(run.folder))) for group in grouped.values()]
    for one in found:
        if {run.truth for run in one.runs} != {run.truth for run in found[0].runs}:
            raise UserError(
                f"{one.runs[0].folder} and {found[0].runs[0].folder} were scored on different scenes or boxes; only "
                "experiments on the same, in the same folds, can be compared"
            )
    return sorted(found, key=lambda one: -one.mean("ap"))


def rows(compared: Sequence[Experiment], known: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row for each experiment, under :data:`HEADER`.

    Args:
        compared: see :func:`experiments`.
        known: what is recorded of each config, see :func:`oil_storage.reporting.results.read`.
    """
    return [_row(one, compared[0], known) for one in compared]


def _row(one: Experiment, best: Experiment, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    trained = [run.trained for run in one.runs]
    speed = known.get(one.name, {}).get("speed")
    minutes = [each["seconds"] / 60 for each in trained if each.get("seconds") is not None]
    tile_aps = [run.tile_ap for run in one.runs if run.tile_ap is not None]
    spans = one.runs[0].figures["intervals"] if len(one.runs) == 1 else intervals(one.scored)
    behind = {} if one is best else differences(one.scored, best.scored)
    figures = []
    for key in ("ap", "ap50", "f1"):
        ends = [None if end is None or math.isnan(end) else end for end in spans[key]]
        figures += [_mean_and_spread(one.values(key)), span(ends) or DASH]
        if key != "ap50":
            less = best.mean(key) - one.mean(key)
            figures.append("the best" if one is best else _behind(less, *behind[key]))
    thresholds = _each(f"{run.figures['threshold']:.3f}{', best here' if run.chosen_here else ''}" for run in one.runs)
    return [
        one.name,
        ", ".join(str(run.folder) for run in one.runs),
        _each(each.get("seed") for each in trained),
        _each(each.get("initialised") for each in trained),
        *figures,
        thresholds,
        one.runs[0].tiles or DASH,
        _mean_and_spread(tile_aps),
        _each(each.get("iterations") for each in trained),
        f"{mean(minutes):.0f}" if minutes else DASH,
        DASH if speed is None else f"{speed['parameters'] / 1e6:.1f}",
        DASH if speed is None else brief(speed["inference"]["p50"]),
        _each(each.get("hardware") for each in trained),
    ]


def _mean_and_spread(values: Sequence[float]) -> str:
    """Mean, and the standard deviation of several."""
    if not values:
        return DASH
    return shown(mean(values)) + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _each(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or DASH


def _behind(less: float, low: float, high: float) -> str:
    """By how much a figure lies below the best experiment's, and whether scenes drawn anew could turn it."""
    if math.isnan(low):
        return f"{less:.3f}, may be chance"
    return f"{less:.3f} ({low:.3f} to {high:.3f}){', may be chance' if low <= 0 <= high else ''}"


def write_comparison(out: Path, runs: Sequence[TestedRun], known: Mapping[str, Mapping[str, Any]], split: str) -> str:
    """Write the comparison as ``comparison.md``, ``.csv`` and ``.html``, and the curves; returns the Markdown.

    Columns in which no experiment has anything are left out of the Markdown and of the page.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    compared = experiments(runs)
    cells = rows(compared, known)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([HEADER, *cells])
    header, *filled = _without_empty_columns([HEADER, *cells])
    curves = _curves(compared)
    scenes = {one.result.scene_id: one.result for run in compared[0].runs for one in run.scenes}
    environment = Environment(loader=PackageLoader("oil_storage.reporting"), autoescape=select_autoescape())
    content = {
        "version": __version__,
        "split": split if any(run.tiles for run in runs) else None,
        "scenes": len(scenes),
        "tanks": sum(len(one.truth) for one in scenes.values()),
        "header": header,
        "rows": filled,
        "curves": png_uri(curves),
    }
    page = environment.get_template("comparison.html").render(content)
    markdown = "".join(f"| {' | '.join(row)} |\n" for row in (header, ["---"] * len(header), *map(_escaped, filled)))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "comparison.md", markdown)
    write_text(out / "comparison.csv", table.getvalue())
    write_bytes(out / "precision_recall.png", png(curves))
    write_text(out / "comparison.html", page)
    return markdown


def _without_empty_columns(table: Sequence[Sequence[str]]) -> list[list[str]]:
    kept = [column for column in zip(*table, strict=True) if set(column[1:]) != {DASH}]
    return [list(row) for row in zip(*kept, strict=True)]


def _escaped(row: Sequence[str]) -> list[str]:
    return [cell.replace("|", r"\|") for cell in row]


def _curves(compared: Sequence[Experiment]) -> Any:
    """Precision over recall, a line for each run, a colour for each experiment."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    names = [one.name for one in compared]
    for index, one in enumerate(compared):
        label = one.name if names.count(one.name) == 1 else f"{one.name}, {one.runs[0].folder}"
        for number, run in enumerate(one.runs):
            points = curve(run.scenes)
            axes.plot(points.recall, points.precision, color=f"C{index % 10}", label=None if number else label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="lower left")
    return figure
