"""Figures as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any


def shown(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def brief(value: float) -> str:
    """A figure's first two digits, without an exponent: 0.18, 8.4, 150."""
    return f"{float(f'{value:.2g}'):g}"


def span(ends: Sequence[float | None] | None) -> str:
    """Both ends of an interval; empty where there is none."""
    return "" if not ends or None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"


def scene_table(figures: Mapping[str, Any]) -> str:
    """The figures of whole scenes that matter most, a line each, with 95 % intervals.

    Args:
        figures: of :func:`oil_storage.evaluation.scene_score.score_scenes`.
    """

    def line(name: str, key: str) -> str:
        return f"{name:<10}{shown(figures[key])}   {span(figures.get('intervals', {}).get(key))}".rstrip()

    lines = [line("AP", "ap"), line("AP50", "ap50")]
    if "f1" not in figures:
        missing = "no score threshold, which F1 needs: the same with --split val chooses one, if it finds any"
        return "\n".join([*lines, missing])
    return "\n".join(
        [
            *lines,
            line("F1", "f1"),
            line("precision", "precision"),
            line("recall", "recall"),
            f"at scores from {figures['threshold']:.3f}; tanks a scene wrong by {figures['count_mae']:.1f} (mean), "
            f"{figures['count_bias']:+.1f} with sign; centres by {shown(figures['centre_px'], 1)} px, "
            f"diameters by {shown(figures['diameter_px'], 1)} px",
        ]
    )
