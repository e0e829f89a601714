"""Plots of the results of whole scenes: curves, AP and errors by size, and counts."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oil_storage.evaluation.curves import Curve
from oil_storage.evaluation.dense_coco import BINS
from oil_storage.evaluation.errors import Kind
from oil_storage.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, PALE, SAND, RED, GREY = "#4a6fa5", "#8aa6c8", "#c8b08a", "#b03a2e", "#999999"
Response = tuple[NDArray[np.float64], NDArray[np.float64]]
SIZE = (4.6, 3.4)
"""Size of a figure in inches."""
TITLES = {
    "precision_recall": "Precision and recall",
    "f1": "Scores at each threshold",
    "free_response": "Recall and false alarms",
    "ap_by_size": "AP by size of the tanks",
    "errors_by_size": "Errors by size of the tanks",
    "counts": "Detections and tanks per scene",
}
"""Titles of the plots on the page."""
BIN_LABELS = ("< 8", "8-16", "16-32", "32-64", "64 +")


def plots(curve: Curve, figures: Figures, response: Response | None = None) -> "dict[str, Figure]":
    """Plot the precision-recall curve and the metrics of whole scenes.

    Args:
        curve: precision and recall at all thresholds.
        figures: metrics of whole scenes.
        response: result of :func:`oil_storage.evaluation.false_alarms.free_response`, or None.

    Returns:
        dict: plots by name. Errors and counts are plotted only if there is a score threshold. False alarms are plotted
        only if there is a response.
    """
    from matplotlib.figure import Figure

    plotters = {"precision_recall": _precision_recall, "f1": _f1, "ap_by_size": _ap_by_size}
    if response is not None:
        plotters["free_response"] = partial(_free_response, response=response)
    if figures.scenes:
        plotters |= {"errors_by_size": _errors_by_size, "counts": _counts}
    drawn = {}
    for name, plotter in plotters.items():
        drawn[name] = Figure(figsize=SIZE, layout="constrained")
        plotter(drawn[name].subplots(), curve, figures)
    return drawn


def _precision_recall(axes: Any, curve: Curve, figures: Figures) -> None:
    """Plot precision over recall, and mark the score threshold."""
    axes.plot(curve.recall, curve.precision, color=BLUE)
    if figures.precision is not None and figures.recall is not None:
        label = f"score threshold {figures.threshold:.3f}"
        axes.plot(figures.recall, figures.precision, "o", color=RED, label=label)
        axes.legend(loc="lower left")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))


def _f1(axes: Any, curve: Curve, figures: Figures) -> None:
    """Plot precision, recall and F1 over the score threshold."""
    axes.plot(curve.thresholds, curve.precision, label="precision", color=PALE)
    axes.plot(curve.thresholds, curve.recall, label="recall", color=SAND)
    axes.plot(curve.thresholds, curve.f1, label="F1", color=BLUE)
    if figures.threshold is not None:
        axes.axvline(figures.threshold, color=RED, linewidth=1)
    axes.set(xlabel="score threshold", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower center")


def _free_response(axes: Any, curve: Curve, figures: Figures, response: Response) -> None:
    """Plot recall over false alarms per area, and mark the score threshold."""
    alarms, recall = response
    axes.plot(np.maximum(alarms, 0.1), recall, color=BLUE)
    if figures.false_alarm_rate is not None and figures.recall is not None:
        label = f"score threshold {figures.threshold:.3f}"
        axes.plot(max(figures.false_alarm_rate, 0.1), figures.recall, "o", color=RED, label=label)
        axes.legend(loc="lower right")
    axes.set(xlabel="false alarms per 100 km²", ylabel="recall", xscale="log", ylim=(0, 1.02))


def _ap_by_size(axes: Any, curve: Curve, figures: Figures) -> None:
    """Plot the average precision of the objects in each size bin."""
    values = [getattr(figures, f"ap_{name}") for name in BINS]
    axes.bar(range(len(BINS)), [value or 0 for value in values], color=BLUE)
    for x, value in enumerate(values):
        axes.annotate("none" if value is None else f"{value:.2f}", (x, value or 0), ha="center", va="bottom")
    axes.set_xticks(range(len(BINS)), BIN_LABELS)
    axes.set(xlabel="side of a tank, px", ylabel="AP", ylim=(0, 1.05))


def _errors_by_size(axes: Any, curve: Curve, figures: Figures) -> None:
    """Plot the number of errors of each kind in each size bin."""
    base = [0] * len(BINS)
    for kind, colour in zip(Kind, (BLUE, PALE, SAND, RED, GREY), strict=True):
        counts = [figures.errors_by_size[name][kind] for name in BINS]
        axes.bar(range(len(BINS)), counts, bottom=base, label=str(kind), color=colour)
        base = [below + count for below, count in zip(base, counts, strict=True)]
    axes.set_xticks(range(len(BINS)), BIN_LABELS)
    axes.set(xlabel="side of a tank or of a detection, px", ylabel="errors", ylim=(0, 1.05 * max(*base, 1)))
    axes.legend(fontsize="small")


def _counts(axes: Any, curve: Curve, figures: Figures) -> None:
    """Plot a point for each scene: x is the number of tanks, y the number of detections."""
    tanks = [scene.tanks for scene in figures.scenes.values()]
    detections = [scene.found for scene in figures.scenes.values()]
    limit = max([*tanks, *detections, 1]) * 1.05
    axes.plot([0, limit], [0, limit], color=GREY, linewidth=1)
    axes.plot(tanks, detections, "o", color=BLUE, markersize=4)
    axes.set(xlabel="tanks in a scene", ylabel="detections in a scene", xlim=(0, limit), ylim=(0, limit))
