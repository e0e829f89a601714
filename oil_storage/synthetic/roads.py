"""Roads and railways across the scene."""

import numpy as np

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import shade, tint
from oil_storage.synthetic.geometry import Array, rectangle, unit


def draw_roads(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a few roads with traffic, dirt tracks, at times a railway."""
    scale = canvas.size / 1280
    for _ in range(1 + rng.poisson(0.8 + 0.6 * scale)):
        _draw_road(canvas, rng)
    for _ in range(rng.poisson(1.5 + scale)):
        track = shade(tint(canvas.climate.palette.yards[0], rng), 1.08)
        canvas.line(_course(canvas.size, 0.1, rng), track, rng.uniform(1.5, 3), grain=60)
    if rng.random() < 0.3:
        _draw_railway(canvas, rng)


def _draw_road(canvas: Canvas, rng: np.random.Generator) -> None:
    course, width = _course(canvas.size, 0.05, rng), float(rng.uniform(4, 11))
    grey = tint((118, 116, 114), rng, 8)
    canvas.line(course, shade(tint(canvas.climate.palette.ground, rng), 1.08), width + 4, grain=60)
    canvas.line(course, grey, width, grain=20)
    if width > 7:
        canvas.line(course, shade(grey, 1.18))
    steps = np.diff(course, axis=0)
    for _ in range(int(rng.uniform(0, 0.02) * canvas.size)):
        k = int(rng.integers(len(steps)))
        turn = float(np.arctan2(steps[k, 1], steps[k, 0]))
        place = course[k] + rng.random() * steps[k] + unit(turn + np.pi / 2) * width * rng.choice([-0.22, 0.22])
        paint = float(rng.choice([50, 100, 180, 240]))
        canvas.polygon(
            rectangle(place, rng.choice([3.5, 3.5, 9.0]), 1.6, turn), tint((paint, paint, paint), rng), grain=8
        )


def _draw_railway(canvas: Canvas, rng: np.random.Generator) -> None:
    course, tracks = _course(canvas.size, 0.04, rng), int(rng.integers(1, 5))
    canvas.line(course, tint((112, 104, 96), rng), 4 + 3 * tracks, grain=60)
    along = course[-1] - course[0]
    normal = unit(float(np.arctan2(along[1], along[0])) + np.pi / 2)
    for track in range(tracks):
        canvas.line(course + normal * (track - (tracks - 1) / 2) * 3.6, (78, 74, 72))


def _course(size: int, bend: float, rng: np.random.Generator) -> Array:
    """A bent line ``(80, 2)`` across the scene."""
    turn, start = rng.uniform(0, np.pi), rng.uniform(0.05, 0.95, 2) * size
    t = np.linspace(-1.5, 1.5, 80)
    waves = rng.normal(0, bend, 3) * size / (1, 2, 4)
    sway = sum(w * np.sin(k * t + p) for w, k, p in zip(waves, (2.0, 4.7, 9.0), rng.uniform(0, 7, 3), strict=True))
    course: Array = start + np.outer(t * size, unit(turn)) + np.outer(sway, unit(turn + np.pi / 2))
    return course
