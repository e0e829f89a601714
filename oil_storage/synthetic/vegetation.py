"""Trees and fields."""

from itertools import pairwise

import numpy as np

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import shade, tint
from oil_storage.synthetic.geometry import Array, wobbly_circle
from oil_storage.synthetic.parcels import Parcel

# Outlines of crowns, of radius 1: making each anew would take longer than painting it.
_CROWNS = [wobbly_circle(np.zeros(2), 1.0, 0.3, np.random.default_rng(k)) for k in range(48)]


def draw_tree(canvas: Canvas, centre: Array, radius: float, rng: np.random.Generator) -> None:
    """Paint an irregular crown of ``radius`` px and its shadow."""
    if not canvas.sees(centre, 4 * radius):
        return
    crown = centre + radius * _CROWNS[rng.integers(len(_CROWNS))]
    canvas.cast(crown, radius * 1.1)
    canvas.polygon(crown, shade(canvas.climate.palette.trees, rng.uniform(0.8, 1.2)), grain=60, bump=150)


def draw_tree_row(canvas: Canvas, course: Array, rng: np.random.Generator) -> None:
    """Paint a hedge: trees along a line ``(n, 2)``, with gaps."""
    for start, end in pairwise(course):
        for t in np.arange(0, 1, 4.0 / max(float(np.linalg.norm(end - start)), 4.0)):
            if rng.random() < 0.7:
                draw_tree(canvas, start + t * (end - start) + rng.normal(0, 0.8, 2), rng.uniform(1.2, 3.2), rng)


def draw_field(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    """Paint a crop with the traces of the tractor, at times a hedge or a worn patch."""
    fields = canvas.climate.palette.fields
    crop = tint(fields[rng.integers(len(fields))], rng, 10)
    canvas.polygon(parcel.outline(), tint(canvas.climate.palette.ground, rng), grain=70)
    canvas.polygon(parcel.outline(inset=1.2), crop, grain=int(rng.integers(20, 55)))
    half = np.array([parcel.width, parcel.height]) / 2
    if rng.random() < 0.75:
        depth, step = rng.uniform(0.01, 0.045), rng.uniform(3.5, 9)
        for x in np.arange(-half[0] + step, half[0] - step, step):
            ends = np.array([[x, -half[1] + 2], [x, 0], [x, half[1] - 2]])
            canvas.line(parcel.place(ends), shade(crop, 1 + rng.normal(0, depth)))
    for patch in parcel.scatter(140, rng):
        if rng.random() < 0.35:
            outline = wobbly_circle(patch, rng.uniform(6, 24), 0.35, rng)
            canvas.polygon(outline, shade(crop, rng.uniform(0.93, 1.07)), grain=60)
    if rng.random() < 0.3:
        draw_tree_row(canvas, parcel.outline()[: max(2, int(parcel.width / 12))], rng)


def draw_forest(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    """Paint closed crowns with a ragged edge."""
    border = parcel.outline()
    canvas.cast_edge(border, 9.0)
    canvas.polygon(border, tint(canvas.climate.palette.trees, rng, 4), grain=70, bump=255)
    for place in border:
        for _ in range(3):
            draw_tree(canvas, place + rng.normal(0, 5, 2), rng.uniform(2, 4.5), rng)


def draw_scrub(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    """Paint rough ground with worn patches, bushes and a few trees in clumps."""
    ground = tint(canvas.climate.palette.ground, rng, 8)
    canvas.polygon(parcel.outline(), ground, grain=100)
    for patch in parcel.scatter(60, rng):
        canvas.polygon(wobbly_circle(patch, rng.uniform(5, 22), 0.4, rng), tint(ground, rng, 5), grain=100)
    for place in parcel.scatter(rng.uniform(25, 80), rng):
        for _ in range(int(rng.geometric(0.4))):
            draw_tree(canvas, place + rng.normal(0, 6, 2), float(np.exp(rng.normal(0.5, 0.4))), rng)


def draw_bare(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    """Paint worked or empty ground, with spoil and wheel tracks."""
    yards = canvas.climate.palette.yards
    ground = tint(yards[rng.integers(len(yards))], rng, 8)
    canvas.polygon(parcel.outline(), ground, grain=80)
    for patch in parcel.scatter(70, rng):
        canvas.polygon(wobbly_circle(patch, rng.uniform(4, 26), 0.4, rng), tint(ground, rng, 6), grain=100)
    half = np.array([parcel.width, parcel.height]) / 2
    for _ in range(rng.poisson(1.5)):
        a, b, c = rng.uniform(-1, 1, (3, 2)) * half
        t = np.linspace(0, 1, 14)[:, None]
        track = parcel.place((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c)
        canvas.line(track, shade(ground, rng.choice([0.88, 1.1])), rng.uniform(1, 3), grain=60)
