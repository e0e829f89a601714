"""The land between terminals: water, fields, forest, towns, scrub and roads."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.preparation.synthetic.buildings import draw_building, roof_colour
from oil_storage.preparation.synthetic.canvas import Canvas
from oil_storage.preparation.synthetic.climate import Colour, shade, tint
from oil_storage.preparation.synthetic.geometry import Array, Field, rectangle, smooth_noise, unit, wobbly_circle

_MAP = 8  # px of the scene per cell of the water map


@dataclass(frozen=True)
class Parcel:
    """A quarter of land under one use: corners ``(4, 2)``, axis, use."""

    outline: Array
    angle: float
    use: int


def plan_water(size: int, rng: np.random.Generator) -> Field | None:
    """Height above water ``(size / 8, size / 8)``, negative where the sea or a river lies; None for dry scenes."""
    kind = rng.choice(["dry", "sea", "harbour", "river"], p=(0.45, 0.25, 0.18, 0.12))
    if kind == "dry":
        return None
    side = -(-size // _MAP)
    x, y = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    direction = unit(rng.uniform(0, 2 * np.pi))
    reach = ((x - side / 2) * direction[0] + (y - side / 2) * direction[1]).astype(np.float32)
    stray = smooth_noise(side, max(8.0, side / 5), rng) * np.float32(side / 18)
    if kind == "sea":
        return reach + stray + np.float32(side * rng.uniform(0.15, 0.4))
    if kind == "river":
        return np.abs(reach + 1.6 * stray - side * rng.uniform(-0.3, 0.3)) - np.float32(rng.uniform(2, 9))
    # A harbour: straight quays, basins at right angles.
    along = (x - side / 2) * -direction[1] + (y - side / 2) * direction[0]
    period, duty = rng.uniform(40, 120), rng.uniform(0.25, 0.6)
    basin = ((along / period + rng.random()) % 1.0) < duty
    depth = np.where(basin, side * rng.uniform(0.0, 0.2), 0.0)
    return (reach + side * rng.uniform(0.15, 0.4) - depth).astype(np.float32)


def plan_parcels(size: int, uses: tuple[float, ...], rng: np.random.Generator) -> list[Parcel]:
    """Cut the land into parcels by splitting a turned square, and give neighbours like uses."""
    angle = rng.uniform(0, np.pi / 2)
    pieces = [(np.array([size / 2, size / 2]), 1.5 * size, 1.5 * size)]
    typical = rng.uniform(90, 260)
    parcels: list[Parcel] = []
    wet = smooth_noise(64, 14, rng)
    order = np.cumsum(np.asarray(uses) / sum(uses))
    ranks = np.sort(wet.ravel())
    while pieces:
        centre, width, height = pieces.pop()
        if max(width, height) < typical * rng.uniform(0.6, 1.8):
            row, column = np.clip((centre / size * 63).astype(int)[::-1], 0, 63)
            rank = np.searchsorted(ranks, wet[row, column]) / ranks.size
            use = int(np.searchsorted(order, rank * 0.7 + rng.random() * 0.3))
            use = min(use, len(uses) - 1)
            parcels.append(Parcel(rectangle(centre, width - 2, height - 2, angle), angle, use))
            continue
        share = rng.uniform(0.32, 0.68)
        if width > height:
            step = unit(angle)
            pieces.append((centre - step * width * (1 - share) / 2, width * share, height))
            pieces.append((centre + step * width * share / 2, width * (1 - share), height))
        else:
            step = unit(angle + np.pi / 2)
            pieces.append((centre - step * height * (1 - share) / 2, width, height * share))
            pieces.append((centre + step * height * share / 2, width, height * (1 - share)))
    return parcels


def draw_land(canvas: Canvas, parcels: list[Parcel], rng: np.random.Generator) -> None:
    """Paint the parcels, then the main roads along and across them."""
    palette = canvas.climate.palette
    canvas.albedo[:] = np.asarray(tint(palette.ground, rng), np.uint8)
    canvas.grain[:] = 90
    for parcel in parcels:
        if (parcel.outline.max(axis=0) > 0).all() and (parcel.outline.min(axis=0) < canvas.size).all():
            (_field, _forest, _town, _scrub, _bare)[parcel.use](canvas, parcel, rng)
    for _ in range(int(rng.integers(1, 4))):
        _road(canvas, rng)
    if rng.random() < 0.3:
        _railway(canvas, rng)


def _field(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    fields = canvas.climate.palette.fields
    crop = tint(fields[rng.integers(len(fields))], rng, 10)
    canvas.polygon(parcel.outline, crop, grain=int(rng.integers(24, 60)))
    a, b, c, d = parcel.outline
    if rng.random() < 0.6:
        step = rng.uniform(4, 10)
        for t in np.arange(0, 1, step / max(1.0, float(np.linalg.norm(b - a)))):
            canvas.line(np.array([a + t * (b - a), d + t * (c - d)]), shade(crop, rng.uniform(0.95, 1.05)))
    if rng.random() < 0.3:
        _tree_row(canvas, a, b, rng)


def _tree_row(canvas: Canvas, start: Array, end: Array, rng: np.random.Generator) -> None:
    length = float(np.linalg.norm(end - start))
    for t in np.arange(0, 1, 5.0 / max(length, 5.0)):
        if rng.random() < 0.7:
            draw_tree(canvas, start + t * (end - start) + rng.normal(0, 1, 2), rng.uniform(1.5, 4), rng)


def draw_tree(canvas: Canvas, centre: Array, radius: float, rng: np.random.Generator) -> None:
    """Paint an irregular crown and its shadow."""
    crown = wobbly_circle(centre, radius, 0.25, rng)
    canvas.cast(crown, radius * 1.2)
    canvas.polygon(crown, tint(canvas.climate.palette.trees, rng, 8), grain=60, bump=140)


def _forest(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    canvas.polygon(parcel.outline, tint(canvas.climate.palette.trees, rng, 5), grain=90, bump=255)


def _scattered(parcel: Parcel, spacing: float, rng: np.random.Generator) -> Array:
    """Random places ``(n, 2)`` in a parcel, one per ``spacing`` squared."""
    a, b, _, d = parcel.outline
    area = float(np.linalg.norm(b - a) * np.linalg.norm(d - a))
    uv = rng.random((int(area / spacing**2), 2))
    return a + uv[:, :1] * (b - a) + uv[:, 1:] * (d - a)


def _scrub(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    canvas.polygon(parcel.outline, tint(canvas.climate.palette.ground, rng, 10), grain=130)
    for place in _scattered(parcel, rng.uniform(12, 40), rng):
        draw_tree(canvas, place, rng.uniform(1, 3.5), rng)


def _bare(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    yards = canvas.climate.palette.yards
    canvas.polygon(parcel.outline, tint(yards[rng.integers(len(yards))], rng, 8), grain=110)


def _town(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    """Streets between blocks of houses, or a lot of a few halls."""
    palette = canvas.climate.palette
    a, b, _, d = parcel.outline
    across, along = (b - a) / np.linalg.norm(b - a), (d - a) / np.linalg.norm(d - a)
    width, height = float(np.linalg.norm(b - a)), float(np.linalg.norm(d - a))
    canvas.polygon(parcel.outline, tint((124, 120, 114), rng), grain=30)
    halls = rng.random() < 0.3
    step_x, step_y = (rng.uniform(40, 90), rng.uniform(30, 60)) if halls else (rng.uniform(11, 18), rng.uniform(20, 28))
    fill = tint(palette.yards[0] if halls else palette.ground, rng)
    for y in np.arange(4, height - step_y * 0.6, step_y):
        strip = a + along * (y + step_y / 2 - 2)
        canvas.polygon(rectangle(strip + across * width / 2, width - 6, step_y - 5, parcel.angle), fill, grain=80)
        for x in np.arange(3, width - step_x * 0.6, step_x):
            if rng.random() < 0.15:
                draw_tree(canvas, strip + across * (x + step_x / 2), rng.uniform(2, 4), rng)
                continue
            place = strip + across * (x + step_x / 2) + rng.normal(0, 0.8, 2)
            rows = (0.0,) if halls else (-step_y / 4, step_y / 4)
            for row in rows:
                wide, deep = step_x * rng.uniform(0.5, 0.85), step_y / len(rows) * rng.uniform(0.4, 0.7)
                high = rng.uniform(6, 12) if halls else rng.uniform(3, 7)
                spot = place + along * row
                draw_building(canvas, spot, wide, deep, parcel.angle, high, roof_colour(canvas, rng), rng)


def _road(canvas: Canvas, rng: np.random.Generator) -> None:
    size = canvas.size
    course = _course(size, rng)
    width = rng.uniform(4, 10)
    grey = tint((118, 116, 114), rng, 8)
    canvas.line(course, shade(grey, 1.12), width + 3, grain=60)
    canvas.line(course, grey, width, grain=16)
    if width > 7:
        canvas.line(course, shade(grey, 1.25))


def _railway(canvas: Canvas, rng: np.random.Generator) -> None:
    course = _course(canvas.size, rng)
    tracks = int(rng.integers(1, 5))
    canvas.line(course, tint((104, 96, 90), rng), 4 + 3 * tracks, grain=70)
    normal = unit(np.arctan2(*(course[-1] - course[0])[::-1]) + np.pi / 2)
    for track in range(tracks):
        canvas.line(course + normal * (track - (tracks - 1) / 2) * 3.5, (70, 66, 66))


def _course(size: int, rng: np.random.Generator) -> Array:
    """A gently bent line ``(n, 2)`` across the scene."""
    turn = rng.uniform(0, np.pi)
    start = rng.uniform(0.1, 0.9, 2) * size
    t = np.linspace(-1.5, 1.5, 60)
    bend = rng.normal(0, 0.06, 2) * size
    sway = bend[0] * np.sin(2 * t) + bend[1] * np.sin(3.1 * t + 1)
    course: Array = start + np.outer(t * size, unit(turn)) + np.outer(sway, unit(turn + np.pi / 2))
    return course


def draw_water(canvas: Canvas, height: Field, rng: np.random.Generator) -> None:
    """Paint the water over the land, with a lighter rim of shallows or a quay."""
    size = canvas.size
    fine = cv2.resize(height, (size, size), interpolation=cv2.INTER_CUBIC) * np.float32(_MAP)
    wet = np.clip(0.5 - fine, 0, 1)
    palette = canvas.climate.palette
    deep = np.asarray(tint(palette.water[rng.integers(len(palette.water))], rng, 9), np.float32)
    shallow = np.exp(np.minimum(fine, 0) / np.float32(rng.uniform(8, 50)))[..., None] * np.float32(
        rng.uniform(0.0, 0.5)
    )
    colour = deep * (1 - shallow) + np.asarray(shade(palette.ground, 1.0), np.float32) * shallow
    rim: Colour = tint((168, 164, 154), rng)
    shore = np.clip(1.5 - np.abs(fine - 1.5), 0, 1)[..., None] * np.float32(0.7)
    land = canvas.albedo * (1 - shore) + np.asarray(rim, np.float32) * shore
    canvas.albedo[:] = (land * (1 - wet[..., None]) + colour * wet[..., None]).astype(np.uint8)
    dry: NDArray[np.float32] = 1 - wet
    for layer, value in ((canvas.grain, 10), (canvas.bump, 0), (canvas.shadow, 0)):
        layer[:] = (layer * dry + np.float32(value) * wet).astype(np.uint8)
