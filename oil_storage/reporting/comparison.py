"""Experiments side by side: which detector is better, by how much, and whether that could be chance."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from oil_storage.errors import UserError
from oil_storage.evaluation.curves import curve
from oil_storage.evaluation.uncertainty import Scored, differences, intervals
from oil_storage.figures import ConfigResults
from oil_storage.files import write_bytes, write_text
from oil_storage.reporting.formatting import brief, markdown_table, shown, span
from oil_storage.reporting.pages import png, png_uri, render
from oil_storage.reporting.scored_run import ScoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = (
    *("experiment", "runs", "seeds", "started from", "scene AP", "AP, 95 %", "less AP than the best"),
    *("scene AP50", "AP50, 95 %", "F1", "F1, 95 %", "less F1 than the best", "score threshold", "tiles", "tile AP"),
    *("iterations", "training, min", "M parameters", "s a tile", "hardware"),
)
DASH = "-"


@dataclass(frozen=True)
class Experiment:
    """Runs, at least one, that differ in their seed or fold alone."""

    runs: Sequence[ScoredRun]

    @property
    def name(self) -> str:
        """Name of the config; the folders tell experiments with one config apart."""
        return self.runs[0].config

    @property
    def scored(self) -> list[Scored]:
        """Scenes of each run, and the threshold of its F1."""
        return [(run.scenes, run.figures.threshold or 0.0) for run in self.runs]

    def values(self, figure: str) -> list[float]:
        """Return a figure of the runs that have it."""
        values = (getattr(run.figures, figure) for run in self.runs)
        return [float(value) for value in values if value is not None]

    def mean(self, figure: str) -> float:
        """Return the mean of a figure over the runs; 0 where none has it."""
        return mean(self.values(figure) or [0.0])


def experiments(runs: Sequence[ScoredRun]) -> list[Experiment]:
    """Group runs by experiment, the best scene AP first.

    Raises:
        UserError: one run named twice, or experiments scored on different scenes.
    """
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise UserError("a run is named twice")
    grouped: dict[tuple[str, ...], list[ScoredRun]] = {}
    for run in runs:
        grouped.setdefault(run.experiment, []).append(run)
    first, *others = [Experiment(sorted(group, key=lambda run: str(run.folder))) for group in grouped.values()]
    for other in others:
        if {run.truth for run in other.runs} != {run.truth for run in first.runs}:
            raise UserError(
                f"{other.runs[0].folder} and {first.runs[0].folder} were scored on different scenes or boxes; only "
                "experiments on the same, in the same folds, can be compared"
            )
    return sorted([first, *others], key=lambda experiment: -experiment.mean("ap"))


def rows(compared: Sequence[Experiment], known: Mapping[str, ConfigResults]) -> list[list[str]]:
    """Make a row for each experiment, under :data:`HEADER`.

    Args:
        compared: see :func:`experiments`.
        known: what is recorded of each config, see :func:`oil_storage.reporting.results.read`.
    """
    return [_row(experiment, compared[0], known) for experiment in compared]


def _row(experiment: Experiment, best: Experiment, known: Mapping[str, ConfigResults]) -> list[str]:
    runs = experiment.runs
    trained = [run.trained for run in runs if run.trained is not None]
    speed = known[experiment.name].speed if experiment.name in known else None
    minutes = [by.seconds / 60 for by in trained if by.seconds is not None]
    spans = runs[0].figures.intervals if len(runs) == 1 else intervals(experiment.scored)
    behind = {} if experiment is best else differences(experiment.scored, best.scored)
    figures = []
    for key in ("ap", "ap50", "f1"):
        ends = [None if end is None or math.isnan(end) else end for end in spans[key]]
        figures += [_mean_and_spread(experiment.values(key)), span(ends) or DASH]
        if key != "ap50":
            less = best.mean(key) - experiment.mean(key)
            figures.append("the best" if experiment is best else _behind(less, *behind[key]))
    return [
        experiment.name,
        ", ".join(str(run.folder) for run in runs),
        _each(by.seed for by in trained),
        _each(by.initialised for by in trained),
        *figures,
        _each(f"{run.figures.threshold:.3f}{', best here' if run.chosen_here else ''}" for run in runs),
        runs[0].tiles or DASH,
        _mean_and_spread([run.tile_ap for run in runs if run.tile_ap is not None]),
        _each(by.iterations for by in trained),
        f"{mean(minutes):.0f}" if minutes else DASH,
        DASH if speed is None else f"{speed.parameters / 1e6:.1f}",
        DASH if speed is None else brief(speed.inference.p50),
        _each(by.hardware for by in trained),
    ]


def _mean_and_spread(values: Sequence[float]) -> str:
    """Format the mean of values, and the standard deviation of several."""
    if not values:
        return DASH
    return shown(mean(values)) + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _each(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or DASH


def _behind(less: float, low: float, high: float) -> str:
    """Format by how much a figure lies below the best experiment's, and whether scenes drawn anew could turn it."""
    if math.isnan(low):
        return f"{less:.3f}, may be chance"
    return f"{less:.3f} ({low:.3f} to {high:.3f}){', may be chance' if low <= 0 <= high else ''}"


def write_comparison(out: Path, runs: Sequence[ScoredRun], known: Mapping[str, ConfigResults], split: str) -> str:
    """Write the comparison as ``comparison.md``, ``.csv`` and ``.html``, and the curves; returns the Markdown.

    Columns in which no experiment has anything are left out of the Markdown and of the page.
    """
    compared = experiments(runs)
    cells = rows(compared, known)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([HEADER, *cells])
    filled_columns = [column for column in zip(HEADER, *cells, strict=True) if set(column[1:]) != {DASH}]
    header, *filled = zip(*filled_columns, strict=True)
    curves = _curves(compared)
    scenes = {scene.result.scene_id: scene.result for run in compared[0].runs for scene in run.scenes}
    content = {
        "split": split if any(run.tiles for run in runs) else None,
        "scenes": len(scenes),
        "tanks": sum(len(scene.truth) for scene in scenes.values()),
        "header": header,
        "rows": filled,
        "curves": png_uri(curves),
    }
    markdown = markdown_table(header, filled)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "comparison.md", markdown)
    write_text(out / "comparison.csv", table.getvalue())
    write_bytes(out / "precision_recall.png", png(curves))
    write_text(out / "comparison.html", render("comparison.html", content))
    return markdown


def _curves(compared: Sequence[Experiment]) -> "Figure":
    """Plot precision over recall, a line for each run, a colour for each experiment."""
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
