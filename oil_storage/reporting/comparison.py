"""Compare experiments: rank them by scene F1, and give the differences with 95 % intervals."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from oil_storage.csv_cells import as_cell
from oil_storage.errors import UserError
from oil_storage.evaluation.curves import curve
from oil_storage.evaluation.outcomes import Outcomes
from oil_storage.evaluation.uncertainty import differences, intervals
from oil_storage.figures import ConfigResults
from oil_storage.files import write_bytes, write_text
from oil_storage.reporting.formatting import brief, markdown_table, shown, span
from oil_storage.reporting.pages import png, png_uri, render
from oil_storage.reporting.scored_run import ScoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES = (
    *("experiment", "F1", "F1, 95 %", "F1 below the best", "AP", "AP, 95 %", "AP below the best", "AP50", "AP50, 95 %"),
    "score threshold",
)
"""Columns with figures of whole scenes."""
RUNS = (
    *("false alarms per 100 km²", "recall at 10 false alarms per 100 km²"),
    *("runs", "seeds", "first weights", "tiles", "tile AP", "iterations", "training, min", "M parameters"),
    *("s per tile", "hardware"),
)
"""Columns with false alarms, training and cost."""
HEADER = SCORES + RUNS
DASH = "-"


@dataclass(frozen=True)
class Experiment:
    """One or more runs that differ only in seed or fold."""

    runs: Sequence[ScoredRun]

    @property
    def name(self) -> str:
        """Name of the config. Several experiments can have the same name."""
        return self.runs[0].config

    @property
    def outcomes(self) -> list[Outcomes]:
        """Outcomes of each run in whole scenes."""
        return [Outcomes.of(run.scenes, run.figures.threshold or 0.0) for run in self.runs]

    def values(self, figure: str) -> list[float]:
        """Return the values of a figure. Runs without this figure are left out."""
        values = (getattr(run.figures, figure) for run in self.runs)
        return [float(value) for value in values if value is not None]

    def mean(self, figure: str) -> float:
        """Return the mean of a figure over the runs, or 0 if no run has this figure."""
        return mean(self.values(figure) or [0.0])


def experiments(runs: Sequence[ScoredRun]) -> list[Experiment]:
    """Group runs by experiment, and sort the experiments by scene F1, the best first.

    Raises:
        UserError: a run is given twice, or the experiments were scored on different scenes or boxes.
    """
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise UserError("two of the given runs are the same folder; remove one")
    grouped: dict[tuple[str, ...], list[ScoredRun]] = {}
    for run in runs:
        grouped.setdefault(run.experiment, []).append(run)
    first, *others = [Experiment(sorted(group, key=lambda run: str(run.folder))) for group in grouped.values()]
    for other in others:
        if {run.truth for run in other.runs} != {run.truth for run in first.runs}:
            raise UserError(
                f"{other.runs[0].folder}: was scored on different scenes or boxes than {first.runs[0].folder}; "
                "compare experiments on the same scenes and folds"
            )
    return sorted([first, *others], key=lambda experiment: (-experiment.mean("f1"), -experiment.mean("ap")))


def rows(compared: Sequence[Experiment], known: Mapping[str, ConfigResults]) -> list[list[str]]:
    """Make a row for each experiment, with the columns of :data:`HEADER`.

    Args:
        compared: experiments, the best first; see :func:`experiments`.
        known: recorded results of each config; see :func:`oil_storage.reporting.results.read`.
    """
    return [_row(experiment, compared[0], known) for experiment in compared]


def _row(experiment: Experiment, best: Experiment, known: Mapping[str, ConfigResults]) -> list[str]:
    runs = experiment.runs
    trained = [run.trained for run in runs if run.trained is not None]
    speed = known[experiment.name].speed if experiment.name in known else None
    minutes = [by.seconds / 60 for by in trained if by.seconds is not None]
    spans = runs[0].figures.intervals if len(runs) == 1 else intervals(experiment.outcomes)
    behind = {} if experiment is best else differences(experiment.outcomes, best.outcomes)
    figures = []
    for key in ("f1", "ap", "ap50"):
        ends = [None if end is None or math.isnan(end) else end for end in spans[key]]
        figures += [_mean_and_spread(experiment.values(key)), span(ends) or DASH]
        if key != "ap50":
            less = best.mean(key) - experiment.mean(key)
            figures.append("the best" if experiment is best else _difference(less, *behind[key]))
    return [
        experiment.name,
        *figures,
        _each(f"{run.figures.threshold:.3f}{', chosen here' if run.chosen_here else ''}" for run in runs),
        f"{mean(rates):.1f}" if (rates := experiment.values("false_alarm_rate")) else DASH,
        _mean_and_spread([point.recall or 0.0 for run in runs if (point := run.figures.false_alarms.get("10"))]),
        ", ".join(str(run.folder) for run in runs),
        _each(by.seed for by in trained),
        _each(by.initialised for by in trained),
        runs[0].tiles or DASH,
        _mean_and_spread([run.tile_ap for run in runs if run.tile_ap is not None]),
        _each(by.iterations for by in trained),
        f"{mean(minutes):.0f}" if minutes else DASH,
        DASH if speed is None else f"{speed.parameters / 1e6:.1f}",
        DASH if speed is None else brief(speed.inference.p50),
        _each(by.hardware for by in trained),
    ]


def _mean_and_spread(values: Sequence[float]) -> str:
    """Format the mean of values, with the standard deviation if there are several."""
    if not values:
        return DASH
    return shown(mean(values)) + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _each(values: Iterable[object]) -> str:
    """List the distinct values."""
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or DASH


def _difference(less: float, low: float, high: float) -> str:
    """Format the difference from the best experiment with its interval, and state whether it may be chance."""
    if math.isnan(low):
        return f"{less:.3f}, may be chance"
    return f"{less:.3f} ({low:.3f} to {high:.3f}){', may be chance' if low <= 0 <= high else ''}"


def write_comparison(out: Path, runs: Sequence[ScoredRun], known: Mapping[str, ConfigResults], split: str) -> str:
    """Write ``comparison.md``, ``comparison.csv``, ``comparison.html`` and a plot of the precision-recall curves.

    The Markdown table and the page leave out columns without values.

    Returns:
        str: the Markdown table.
    """
    compared = experiments(runs)
    cells = rows(compared, known)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([HEADER, *((as_cell(name), *values) for name, *values in cells)])
    filled = {name: column for name, *column in zip(HEADER, *cells, strict=True) if set(column) != {DASH}}
    curves = _curves(compared)
    scenes = {scene.result.scene_id: scene.result for run in compared[0].runs for scene in run.scenes}
    content = {
        "split": split if any(run.tiles for run in runs) else None,
        "experiments": len(compared),
        "scenes": len(scenes),
        "tanks": sum(len(scene.truth) for scene in scenes.values()),
        "tables": {"Scores": SCORES, "Runs and costs": ("experiment", *RUNS)},
        "filled": filled,
        "curves": png_uri(curves),
    }
    markdown = markdown_table(list(filled), list(zip(*filled.values(), strict=True)))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "comparison.md", markdown)
    write_text(out / "comparison.csv", table.getvalue())
    write_bytes(out / "precision_recall.png", png(curves))
    write_text(out / "comparison.html", render("comparison.html", content))
    return markdown


def _curves(compared: Sequence[Experiment]) -> "Figure":
    """Plot precision over recall, with a line for each run and a colour for each experiment."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    names = [experiment.name for experiment in compared]
    for index, (name, experiment) in enumerate(zip(names, compared, strict=True)):
        label = name if names.count(name) == 1 else f"{name}, {experiment.runs[0].folder}"
        for number, run in enumerate(experiment.runs):
            points = curve(run.scenes)
            axes.plot(points.recall, points.precision, color=f"C{index % 10}", label=None if number else label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="lower left")
    return figure
