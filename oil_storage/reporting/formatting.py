"""Format numbers, intervals and tables."""

from collections.abc import Mapping, Sequence

from oil_storage.figures import Figures, metric_key

TILE_FIGURES = {
    "AP": "mAP",
    "AP50": "mAP_50",
    "AP75": "mAP_75",
    "AP small": "mAP_s",
    "AP medium": "mAP_m",
    "AP large": "mAP_l",
    "AR": "AR",
}
"""Labels of the figures of tiles, and their names in :func:`oil_storage.evaluation.dense_coco.score`."""


def shown(value: float | None, digits: int = 3) -> str:
    """Format a figure; None becomes a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def brief(value: float) -> str:
    """Round a figure to two significant digits, without an exponent: 0.18, 8.4, 150."""
    return f"{float(f'{value:.2g}'):g}"


def span(ends: Sequence[float | None] | None) -> str:
    """Format an interval, or return an empty text if an end is missing."""
    return "" if not ends or None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a Markdown table; vertical bars in cells are escaped."""
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, ["---"] * len(header), *escaped])


def tile_table(metrics: Mapping[str, float | None]) -> str:
    """List the figures of tiles, one per line."""
    return "\n".join(f"{name:<10}{shown(metrics[metric_key(key)])}" for name, key in TILE_FIGURES.items())


def scene_table(figures: Figures) -> str:
    """List the main figures of whole scenes with 95 % intervals, one per line."""
    keys = {"AP": "ap", "AP50": "ap50", "F1": "f1", "precision": "precision", "recall": "recall"}
    lines = [
        f"{name:<10}{shown(getattr(figures, key))}   {span(figures.intervals.get(key))}".rstrip()
        for name, key in keys.items()
    ]
    if figures.threshold is None:
        return "\n".join([*lines[:2], "no F1 without a score threshold; tools/test.py --split val chooses one"])
    return "\n".join(
        [
            *lines,
            f"score threshold {figures.threshold:.3f}; count error per scene: MAE {shown(figures.count_mae, 1)}, "
            f"bias {figures.count_bias or 0:+.1f}",
            *_false_alarms(figures),
            f"right detections: centre error {shown(figures.centre_px, 1)} px, "
            f"diameter error {shown(figures.diameter_px, 1)} px",
        ]
    )


def _false_alarms(figures: Figures) -> list[str]:
    """Return a line on false alarms per area, or no line if the ground resolution is not known."""
    if figures.false_alarm_rate is None:
        return []
    points = ", ".join(
        f"{rate} (threshold {point.threshold:.3f}, recall {shown(point.recall)})"
        for rate, point in figures.false_alarms.items()
    )
    others = f"; at other thresholds: {points}" if points else ""
    return [f"false alarms per 100 km2: {figures.false_alarm_rate:.1f}{others}"]
