"""Plots of the benchmark: accuracy against time, and learning curves, as SVG."""

import io
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from oil_storage.figures import ConfigResults, metric_key
from oil_storage.reporting.benchmark_page import LINE_UP, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (6.4, 3.6)
"""Size of a plot in inches."""
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "oil-storage", "font.family": "sans-serif"}
"""Settings of matplotlib: text stays text, and equal plots give equal files."""


def accuracy_and_time(known: Mapping[str, ConfigResults], rows: Sequence[Row]) -> str | None:
    """Plot the tile AP on val over the seconds for a scene, with a point for each config, the mean of its seeds.

    Args:
        known: recorded results of each config.
        rows: see :func:`oil_storage.reporting.benchmark_page.read_rows`.

    Returns:
        str | None: the plot as SVG; None if no config has both figures.
    """
    points = []
    for index, name in enumerate(LINE_UP):
        scene = known[name].scene if name in known else None
        ap = [
            value
            for row in rows
            if (row.config, row.run.split, row.run.scenes_fraction) == (name, "val", 1)
            if (value := row.run.metrics[metric_key("mAP")]) is not None
        ]
        if scene is not None and ap:
            points.append((name, scene.seconds, ap, f"C{index}"))
    if not points:
        return None
    figure = _figure()
    axes = figure.subplots()
    for name, seconds, ap, colour in points:
        axes.plot([seconds] * len(ap), ap, "o", color=colour, markersize=4, alpha=0.5)
        axes.plot(seconds, mean(ap), "o", color=colour)
        axes.annotate(name, (seconds, mean(ap)), xytext=(7, 4), textcoords="offset points")
    axes.set(xlabel="seconds per scene", ylabel="tile AP, val", xlim=(0, 1.6 * max(point[1] for point in points)))
    axes.margins(y=0.2)
    axes.grid(alpha=0.3)
    return _svg(figure)


def learning_curves(rows: Sequence[Row]) -> str | None:
    """Plot the tile AP on val over the images seen, with a line for each run with all scenes.

    Args:
        rows: see :func:`oil_storage.reporting.benchmark_page.read_rows`.

    Returns:
        str | None: the plot as SVG; None if no run has a learning curve.
    """
    runs = [row for row in rows if row.run.split == "val" and row.run.scenes_fraction == 1 and row.run.learning_curve]
    if not runs:
        return None
    figure = _figure()
    axes = figure.subplots()
    named = set()
    for row in runs:
        points = [(point.images, point.ap) for point in row.run.learning_curve if point.ap is not None]
        label = None if row.config in named else row.config
        named.add(row.config)
        axes.plot(*zip(*points, strict=True), "o-", color=f"C{LINE_UP.index(row.config)}", markersize=3, label=label)
    axes.set(xlabel="images seen", ylabel="tile AP, val", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return _svg(figure)


def _figure() -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=SIZE, layout="constrained")


def _svg(figure: "Figure") -> str:
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())
