"""Curves, bars and scatter of a score."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oil_storage.evaluation.curves import Curve
from oil_storage.evaluation.dense_coco import BINS
from oil_storage.evaluation.errors import Kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, RED = "#4a6fa5", "#b03a2e"
SIZE = (4.6, 3.4)
"""Of a figure, inches."""


def precision_recall(one: Curve, at: Mapping[str, Any]) -> "Figure":
    """Precision over recall, and the place of the threshold; ``at`` is of a score's figures."""
    figure, axes = _new()
    axes.plot(one.recall, one.precision, color=BLUE)
    if at.get("precision") is not None and at.get("recall") is not None:
        axes.plot(at["recall"], at["precision"], "o", color=RED, label=f"score {at['threshold']:.2f}")
        axes.legend(loc="lower left")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    return figure


def f1_over_threshold(one: Curve, at: Mapping[str, Any]) -> "Figure":
    """Precision, recall and F1 over the score threshold."""
    figure, axes = _new()
    for values, name, colour in (
        (one.precision, "precision", "#8aa6c8"),
        (one.recall, "recall", "#c8b08a"),
        (one.f1, "F1", BLUE),
    ):
        axes.plot(one.thresholds, values, label=name, color=colour)
    if "threshold" in at:
        axes.axvline(at["threshold"], color=RED, linewidth=1)
    axes.set(xlabel="score threshold", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower center")
    return figure


def ap_by_size(figures: Mapping[str, Any]) -> "Figure":
    """Average precision of the objects in each size bin; an empty place where there are none."""
    figure, axes = _new()
    values = [figures[f"ap_{name}"] for name in BINS]
    axes.bar(range(len(BINS)), [value or 0 for value in values], color=BLUE)
    for place, value in enumerate(values):
        axes.annotate("none" if value is None else f"{value:.2f}", (place, value or 0), ha="center", va="bottom")
    axes.set_xticks(range(len(BINS)), ["< 8", "8-16", "16-32", "32-64", "64 +"])
    axes.set(xlabel="side of a tank, px", ylabel="AP", ylim=(0, 1.05))
    return figure


def errors_by_size(figures: Mapping[str, Any]) -> "Figure":
    """Numbers of errors by kind in each size bin."""
    figure, axes = _new()
    base = [0] * len(BINS)
    for kind, colour in zip(Kind, ("#4a6fa5", "#8aa6c8", "#c8b08a", "#b03a2e", "#999999"), strict=True):
        counts = [figures["errors_by_size"][name][kind] for name in BINS]
        axes.bar(range(len(BINS)), counts, bottom=base, label=str(kind), color=colour)
        base = [before + count for before, count in zip(base, counts, strict=True)]
    axes.set_xticks(range(len(BINS)), ["< 8", "8-16", "16-32", "32-64", "64 +"])
    axes.set(xlabel="side of a tank or of a detection, px", ylabel="errors", ylim=(0, 1.05 * max(*base, 1)))
    axes.legend(fontsize="small")
    return figure


def counts(figures: Mapping[str, Any]) -> "Figure":
    """Tanks found over tanks there, a point a scene."""
    figure, axes = _new()
    true = [one["tanks"] for one in figures["scenes"].values()]
    found = [one["found"] for one in figures["scenes"].values()]
    most = max([*true, *found, 1]) * 1.05
    axes.plot([0, most], [0, most], color="#999999", linewidth=1)
    axes.plot(true, found, "o", color=BLUE, markersize=4)
    axes.set(xlabel="tanks in a scene", ylabel="found", xlim=(0, most), ylim=(0, most))
    return figure


def _new() -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.subplots()
