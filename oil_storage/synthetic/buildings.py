"""Roofs of buildings."""

import numpy as np

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import Colour, shade, tint
from oil_storage.synthetic.geometry import Array, rectangle, unit


def roof_colour(canvas: Canvas, rng: np.random.Generator) -> Colour:
    """A colour from the palette's roofs."""
    roofs = canvas.climate.palette.roofs
    return tint(roofs[rng.integers(len(roofs))], rng, 9)


def draw_building(
    canvas: Canvas,
    centre: Array,
    width: float,
    depth: float,
    angle: float,
    height: float,
    roof: Colour,
    rng: np.random.Generator,
) -> None:
    """Paint a building with a gabled roof, its ridge along ``angle``; wide halls get ribs and skylights.

    Args:
        canvas: to paint on.
        centre: ``(2,)`` px, of the footprint.
        width: px along ``angle``.
        depth: px across it.
        angle: radians.
        height: m.
        roof: its colour in full light.
        rng: of the details.
    """
    if not canvas.sees(centre, width + depth + 40):
        return
    top = canvas.block(rectangle(centre, width, depth, angle), height, roof)
    middle, across = top.mean(axis=0), unit(angle + np.pi / 2)
    away = float(across @ canvas.climate.shadow_direction)
    dull = rectangle(middle + across * depth / 4 * (1 if away > 0 else -1), width - 1, depth / 2 - 0.5, angle)
    canvas.polygon(dull, shade(roof, 1 - 0.25 * abs(away)), grain=10)
    if min(width, depth) > 16:
        for u in np.arange(-width / 2 + 4, width / 2 - 3, rng.uniform(5, 12)):
            rib = middle + unit(angle) * u + np.outer([-0.5, 0.5], across) * (depth - 2)
            canvas.line(rib, shade(roof, 0.9 if rng.random() < 0.7 else 1.15))
