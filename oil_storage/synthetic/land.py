"""Paint the land between terminals: parcels with vegetation or buildings, roads, and water."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from oil_storage.synthetic.canvas import Canvas, Colour, shade, tint
from oil_storage.synthetic.distractors import Distractor, draw_distractor
from oil_storage.synthetic.geometry import Array, Field, Rectangle, axes, blob, circle, smooth_noise, unit

_MAP = 8  # px of the scene per cell of the water map


Warp = Callable[[Array], Array]


def draw_warp(size: int, rng: Generator) -> Warp:
    """Return a random smooth distortion of points ``(..., 2)``; it makes the borders of parcels curved."""
    lengths = np.array([max(size, 700) * 0.9, 420.0, 190.0, 90.0])
    bend = rng.uniform(0.0, 0.28)
    waves = unit(rng.uniform(0, 7, 4)) * 2 * np.pi / lengths[:, None]
    phases = rng.uniform(0, 2 * np.pi, 4)
    reach = unit(rng.uniform(0, 7, 4)) * (bend * lengths * (0.16, 0.14, 0.1, 0.06))[:, None]
    return lambda points: np.asarray(points + np.sin(points @ waves.T + phases) @ reach)


@dataclass
class Parcel(Rectangle):
    """Piece of land; the distortion ``warp`` makes the sides of the rectangle curved."""

    use: int  # index into ``Palette.uses``
    warp: Warp

    def at(self, offset: ArrayLike) -> Array:
        """Convert offsets ``(..., 2)`` in the undistorted rectangle to distorted scene coordinates ``(..., 2)``."""
        return self.warp(super().at(offset))

    def lot(self, offset: Array, size: Array) -> Rectangle:
        """Return a rectangle of ``size`` px with straight sides, centred at ``offset`` and aligned with the parcel."""
        step = self.at(offset + np.array([2.0, 0.0])) - self.at(offset)
        return Rectangle(self.at(offset), size, float(np.arctan2(step[1], step[0])))

    def strip(self, low: Array, high: Array) -> Array:
        """Return the outline ``(n, 2)`` of a part of the parcel; two opposite corners are at ``low`` and ``high``."""
        corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]], low])
        sides = []
        for start, end in pairwise(corners):
            steps = max(1, int(np.abs(end - start).max() / 12))
            sides.append(np.linspace(start, end, steps, endpoint=False))
        return self.at(np.concatenate(sides))

    def outline(self, margin: float = 0.0) -> Array:
        """Return the outline ``(n, 2)`` of the parcel, enlarged by ``margin`` px on each side."""
        return self.strip(-self.size / 2 - margin, self.size / 2 + margin)

    def scatter(self, spacing: float, rng: Generator) -> Array:
        """Draw random points ``(n, 2)`` in the parcel, on average one per ``spacing`` x ``spacing`` px."""
        return self.at((rng.random((int(self.size.prod() / spacing**2), 2)) - 0.5) * self.size)


def plan_parcels(size: int, uses: tuple[float, ...], rng: Generator) -> list[Parcel]:
    """Divide the land into parcels by repeatedly splitting a rotated square.

    ``uses`` gives the share of each land use. Adjacent parcels often have the same use. Parcels outside the scene are
    dropped.
    """
    angle, warp, typical = rng.uniform(0, np.pi / 2), draw_warp(size, rng), rng.uniform(90, 330)
    character = smooth_noise(64, 14, rng)
    ranks, shares = np.sort(character.ravel()), np.cumsum(uses) / sum(uses)
    pieces = [(np.array([size / 2, size / 2]), np.array([1.6 * size, 1.6 * size]))]
    parcels: list[Parcel] = []
    while pieces:
        centre, sides = pieces.pop()
        if np.abs(centre - size / 2).max() > size / 2 + sides.max() + 40:
            continue
        if sides.max() < typical * np.exp(rng.normal(0.1, 0.35)):
            column, row = np.clip((centre / size * 63).astype(int), 0, 63)
            rank = 0.75 * np.searchsorted(ranks, character[row, column]) / ranks.size + 0.25 * rng.random()
            use = min(int(np.searchsorted(shares, rank)), len(uses) - 1)
            parcels.append(Parcel(centre, sides, angle, use, warp))
            continue
        share = rng.uniform(0.3, 0.7)
        longer = np.array([1, 0]) if sides[0] > sides[1] else np.array([0, 1])
        for part, offset in ((share, share / 2 - 0.5), (1 - share, share / 2)):
            step = longer * sides * offset
            pieces.append((Rectangle(centre, sides, angle).at(step), np.where(longer, sides * part, sides)))
    return parcels


def draw_building(canvas: Canvas, footprint: Rectangle, height: float, roof: Colour, rng: Generator) -> None:
    """Paint a building with a gabled roof. The ridge is parallel to the first side of ``footprint``.

    ``height`` is in metres. Wide buildings get ribs and skylights.
    """
    if not canvas.sees(footprint.centre, footprint.size.sum() + 40):
        return
    width, depth = footprint.size
    along, across = axes(footprint.angle)
    middle = canvas.block(footprint.outline(), height, roof)
    away = float(across @ canvas.climate.shadow_direction)
    dull = middle + across * np.copysign(depth / 4, away)
    slope = Rectangle(dull, np.array([width - 1, depth / 2 - 0.5]), footprint.angle)
    canvas.polygon(slope.outline(), shade(roof, 1 - 0.25 * abs(away)), grain=10)
    if min(width, depth) > 16:
        for u in np.arange(-width / 2 + 4, width / 2 - 3, rng.uniform(5, 12)):
            rib = middle + along * u + np.outer([-0.5, 0.5], across) * (depth - 2)
            canvas.line(rib, shade(roof, 0.9 if rng.random() < 0.7 else 1.15))


# Outlines of tree crowns with radius 1; computing an outline takes longer than painting it.
_CROWNS = [blob(np.zeros(2), 1.0, 0.3, np.random.default_rng(k)) for k in range(48)]


def draw_tree(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    """Paint a tree: an irregular crown of ``radius`` px and its shadow."""
    if not canvas.sees(centre, 4 * radius):
        return
    crown = centre + radius * _CROWNS[rng.integers(len(_CROWNS))]
    canvas.cast(crown, radius * 1.1)
    canvas.polygon(crown, shade(canvas.palette.trees, rng.uniform(0.8, 1.2)), grain=60, bump=150)


def draw_field(canvas: Canvas, parcel: Parcel, rng: Generator) -> None:
    """Paint a field with tractor tracks, patches and sometimes a hedge."""
    crop = tint(rng.choice(canvas.palette.fields), rng, 10)
    canvas.polygon(parcel.outline(), tint(canvas.palette.ground, rng), grain=70)
    canvas.polygon(parcel.outline(margin=-1.2), crop, grain=int(rng.integers(20, 55)))
    half = parcel.size / 2
    if rng.random() < 0.75:
        depth, step = rng.uniform(0.01, 0.045), rng.uniform(3.5, 9)
        for x in np.arange(-half[0] + step, half[0] - step, step):
            furrow = parcel.at([[x, -half[1] + 2], [x, 0], [x, half[1] - 2]])
            canvas.line(furrow, shade(crop, 1 + rng.normal(0, depth)))
    for patch in parcel.scatter(140, rng):
        if rng.random() < 0.35:
            outline = blob(patch, rng.uniform(6, 24), 0.35, rng)
            canvas.polygon(outline, shade(crop, rng.uniform(0.93, 1.07)), grain=60)
    if rng.random() < 0.3:  # a hedge along a side, with gaps
        hedge = parcel.outline()[: max(2, int(parcel.size[0] / 12))]
        for start, end in pairwise(hedge):
            for t in np.arange(0, 1, 4.0 / max(float(np.linalg.norm(end - start)), 4.0)):
                if rng.random() < 0.7:
                    draw_tree(canvas, start + t * (end - start) + rng.normal(0, 0.8, 2), rng.uniform(1.2, 3.2), rng)


def draw_forest(canvas: Canvas, parcel: Parcel, rng: Generator) -> None:
    """Paint a forest with an irregular edge."""
    border = parcel.outline()
    canvas.cast_edge(border, 9.0)
    canvas.polygon(border, tint(canvas.palette.trees, rng, 4), grain=70, bump=255)
    for point in border:
        for _ in range(3):
            draw_tree(canvas, point + rng.normal(0, 5, 2), rng.uniform(2, 4.5), rng)


def draw_scrub(canvas: Canvas, parcel: Parcel, rng: Generator) -> None:
    """Paint rough ground with patches, bushes and clumps of trees."""
    ground = tint(canvas.palette.ground, rng, 8)
    canvas.polygon(parcel.outline(), ground, grain=100)
    for patch in parcel.scatter(60, rng):
        canvas.polygon(blob(patch, rng.uniform(5, 22), 0.4, rng), tint(ground, rng, 5), grain=100)
    for point in parcel.scatter(rng.uniform(25, 80), rng):
        for _ in range(int(rng.geometric(0.4))):
            draw_tree(canvas, point + rng.normal(0, 6, 2), float(np.exp(rng.normal(0.5, 0.4))), rng)


def draw_bare(canvas: Canvas, parcel: Parcel, rng: Generator) -> None:
    """Paint bare ground with patches and wheel tracks."""
    ground = tint(rng.choice(canvas.palette.yards), rng, 8)
    canvas.polygon(parcel.outline(), ground, grain=80)
    for patch in parcel.scatter(70, rng):
        canvas.polygon(blob(patch, rng.uniform(4, 26), 0.4, rng), tint(ground, rng, 6), grain=100)
    half = parcel.size / 2
    for _ in range(rng.poisson(1.5)):
        a, b, c = rng.uniform(-1, 1, (3, 2)) * half
        t = np.linspace(0, 1, 14)[:, None]
        track = parcel.at((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c)
        canvas.line(track, shade(ground, rng.choice([0.88, 1.1])), rng.uniform(1, 3), grain=60)


def draw_town(canvas: Canvas, parcel: Parcel, rng: Generator) -> None:
    """Paint a residential or an industrial area."""
    if rng.random() < 0.35:
        _draw_industry(canvas, parcel, rng)
    else:
        _draw_houses(canvas, parcel, rng)


def _draw_houses(canvas: Canvas, parcel: Parcel, rng: Generator) -> None:
    palette, half = canvas.palette, parcel.size / 2
    street = tint((124, 120, 114), rng) if rng.random() < 0.6 else shade(tint(palette.ground, rng), 1.1)
    garden = shade(tint(palette.ground, rng), rng.uniform(0.8, 1.0))
    roofs = [shade(tint(rng.choice(palette.roofs), rng, 9), rng.uniform(0.6, 0.85)) for _ in range(3)]
    lot, block = rng.uniform(11, 21), rng.uniform(24, 40)
    dense, green = rng.uniform(0.55, 0.95), rng.uniform(0.05, 0.5)
    canvas.polygon(parcel.outline(), street, grain=34)
    run = lot * rng.integers(6, 14)
    for y in np.arange(-half[1] + 2, half[1] - block * 0.7, block):
        for x in np.arange(-half[0] + 2, half[0] - lot, run):
            high = np.array([min(x + run - 4, half[0] - 2), y + block - 4])
            canvas.polygon(parcel.strip(np.array([x, y]), high), tint(garden, rng, 4), grain=80)
        for x in np.arange(-half[0] + lot * 0.6, half[0] - lot * 0.5, lot):
            for row in (0.24, 0.68):
                offset = np.array([x, y + row * block]) + rng.normal(0, 1.3, 2)
                if rng.random() < green:
                    draw_tree(canvas, parcel.at(offset + rng.normal(0, 4, 2)), rng.uniform(1.2, 3), rng)
                if rng.random() > dense:
                    continue
                house = parcel.lot(offset, np.array([lot, block]) * rng.uniform((0.4, 0.2), (0.82, 0.36)))
                if rng.random() < 0.25:
                    house.angle += np.pi / 2
                roof = tint(rng.choice(roofs), rng, 7)
                draw_building(canvas, house, rng.uniform(3, 7), roof, rng)


def _draw_industry(canvas: Canvas, parcel: Parcel, rng: Generator) -> None:
    yard = tint(rng.choice(canvas.palette.yards[:2]), rng, 8)
    canvas.polygon(parcel.outline(), shade(yard, 0.9), grain=50)
    canvas.polygon(parcel.outline(margin=-4), yard, grain=60)
    half = parcel.size / 2
    y = -half[1] + 6
    while y < half[1] - 18:
        deep = rng.uniform(16, 60)
        x = -half[0] + 6 + rng.uniform(0, 20)
        while x < half[0] - 18:
            wide = rng.uniform(16, 80)
            if x + wide > half[0] - 4 or y + deep > half[1] - 4:
                break
            size = np.array([wide, deep])
            offset = (x, y) + size / 2
            lot = parcel.lot(offset, size)
            kind = rng.random()
            if kind < 0.55:
                lot.size = size * rng.uniform(0.6, 0.92)
                roof = tint(rng.choice(canvas.palette.roofs), rng, 9)
                draw_building(canvas, lot, rng.uniform(5, 12), roof, rng)
            elif kind < 0.75:
                _draw_parked(canvas, parcel, offset, size, rng)
            elif kind < 0.85:
                lot.size = size * 0.9
                canvas.polygon(lot.outline(), canvas.palette.ground, grain=90)
            x += wide + rng.uniform(4, 16)
        y += deep + rng.uniform(6, 14)


def _draw_parked(canvas: Canvas, parcel: Parcel, centre: Array, size: Array, rng: Generator) -> None:
    """Paint rows of parked cars of 1.4 x 3.4 px."""
    for row in np.arange(-size[1] / 2 + 4, size[1] / 2 - 3, 9.0):
        for column in np.arange(-size[0] / 2 + 2, size[0] / 2 - 1, 2.6):
            if rng.random() < 0.5:
                car = parcel.lot(centre + np.array([column, row]), np.array([1.4, 3.4]))
                canvas.polygon(car.outline(), tint([rng.choice([60, 90, 130, 170, 200])] * 3, rng, 8), grain=8)


def _draw_road(canvas: Canvas, rng: Generator) -> None:
    course, width = _course(canvas.size, 0.05, rng), float(rng.uniform(4, 11))
    grey = tint((118, 116, 114), rng, 8)
    canvas.line(course, shade(tint(canvas.palette.ground, rng), 1.08), width + 4, grain=60)
    canvas.line(course, grey, width, grain=20)
    if width > 7:
        canvas.line(course, shade(grey, 1.18))
    steps = np.diff(course, axis=0)
    for _ in range(int(rng.uniform(0, 0.02) * canvas.size)):
        k = rng.integers(len(steps))
        turn = np.arctan2(*steps[k, ::-1])
        position = course[k] + rng.random() * steps[k] + unit(turn + np.pi / 2) * width * rng.choice([-0.22, 0.22])
        paint = rng.choice([50, 100, 180, 240])
        vehicle = Rectangle(position, np.array([rng.choice([3.5, 3.5, 9.0]), 1.6]), turn)
        canvas.polygon(vehicle.outline(), tint([paint] * 3, rng), grain=8)


def _draw_railway(canvas: Canvas, rng: Generator) -> None:
    course, tracks = _course(canvas.size, 0.04, rng), int(rng.integers(1, 5))
    canvas.line(course, tint((112, 104, 96), rng), 4 + 3 * tracks, grain=60)
    along = course[-1] - course[0]
    normal = unit(np.arctan2(along[1], along[0]) + np.pi / 2)
    for track in range(tracks):
        canvas.line(course + normal * (track - (tracks - 1) / 2) * 3.6, (78, 74, 72))


def _course(size: int, bend: float, rng: Generator) -> Array:
    """Return a curved line ``(80, 2)`` across the scene."""
    turn, start = rng.uniform(0, np.pi), rng.uniform(0.05, 0.95, 2) * size
    t = np.linspace(-1.5, 1.5, 80)
    waves = rng.normal(0, bend, 3) * size / (1, 2, 4)
    sway = np.sin(np.outer(t, (2.0, 4.7, 9.0)) + rng.uniform(0, 7, 3)) @ waves
    return start + np.stack([t * size, sway], axis=1) @ axes(turn)


# Paint function and paint order for each of Palette.uses. Flat ground is painted first, because trees and houses may
# extend over adjacent parcels.
_USES = ((draw_field, 0), (draw_forest, 4), (draw_town, 3), (draw_scrub, 2), (draw_bare, 1))


def draw_land(canvas: Canvas, parcels: list[Parcel], farms: list[Distractor], rng: Generator) -> None:
    """Paint parcels, roads and the irrigation circles ``farms``. Parcels that touch a circle become fields."""
    canvas.albedo[:] = np.asarray(tint(canvas.palette.ground, rng), np.uint8)
    canvas.grain[:] = 90
    for parcel in parcels:
        outline = parcel.outline()
        middle = outline.mean(axis=0)
        reach = np.linalg.norm(outline - middle, axis=1).max()
        if any(np.linalg.norm(farm.centre - middle) < farm.radius + reach for farm in farms):
            parcel.use = 0
    for parcel in sorted(parcels, key=lambda parcel: _USES[parcel.use][1]):
        _USES[parcel.use][0](canvas, parcel, rng)
    for farm in farms:
        draw_distractor(canvas, farm, rng)
    scale = canvas.size / 1280
    for _ in range(1 + rng.poisson(0.8 + 0.6 * scale)):
        _draw_road(canvas, rng)
    for _ in range(rng.poisson(1.5 + scale)):
        track = shade(tint(canvas.palette.yards[0], rng), 1.08)
        canvas.line(_course(canvas.size, 0.1, rng), track, rng.uniform(1.5, 3), grain=60)
    if rng.random() < 0.3:
        _draw_railway(canvas, rng)


def plan_water(size: int, rng: Generator) -> Field | None:
    """Draw a random map ``(size / 8, size / 8)`` of the distance to the shore, or return None for a dry scene.

    Distances are in cells of 8 px and are negative on water.
    """
    kind = rng.choice(["dry", "sea", "harbour", "river"], p=(0.45, 0.25, 0.18, 0.12))
    if kind == "dry":
        return None
    side = -(-size // _MAP)
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    inland, along = np.tensordot(axes(rng.uniform(0, 2 * np.pi)), [x, y], 1)
    stray = smooth_noise(side, max(8.0, side / 4), rng) * (side / 16) + smooth_noise(side, 9, rng) * 1.2
    if kind == "sea":
        return np.asarray(inland + stray + side * rng.uniform(0.15, 0.42), np.float32)
    if kind == "river":
        course = inland + 1.8 * stray - side * rng.uniform(-0.35, 0.35)
        return np.asarray(np.abs(course) - rng.uniform(2, 9), np.float32)
    # A straight quay with perpendicular basins. The distance to the nearest edge keeps the corners sharp.
    period, width = rng.uniform(40, 120), rng.uniform(8, 26)
    reach = side * rng.uniform(0.02, 0.2)
    front = inland + side * rng.uniform(0.2, 0.42)
    across = np.abs((along / period + rng.random()) % 1.0 - 0.5) * period - width / 2
    return np.asarray(np.minimum(front, np.maximum(across, front - reach)), np.float32)


def draw_water(canvas: Canvas, inland: Field, rng: Generator) -> None:
    """Paint the water, its shore, and jetties with ships. ``inland`` is the map of :func:`plan_water`."""
    size, pixels, palette = canvas.size, canvas.pixels, canvas.palette
    distance = cv2.resize(inland, (pixels, pixels), interpolation=cv2.INTER_LINEAR) * np.float32(_MAP)
    wet = np.clip(0.5 - distance, 0, 1)
    deep = tint(rng.choice(palette.water), rng, 9)
    shallow = np.exp(np.minimum(distance, 0) / np.float32(rng.uniform(8, 90))) * np.float32(rng.uniform(0.0, 0.5))
    shallow += np.float32(rng.uniform(0, 0.06)) * smooth_noise(pixels, max(60.0, size / 6) * canvas.zoom, rng)
    beach, width = tint(palette.yards[-1], rng), rng.uniform(1, 8)
    shore = np.clip(width - distance, 0, 1) * np.float32(0.8)
    for channel in range(3):
        band = canvas.albedo[..., channel]
        land = band + shore * (np.float32(beach[channel]) - band)
        sea = deep[channel] + shallow * np.float32(0.9 * palette.ground[channel] - deep[channel])
        band[:] = np.clip(land + wet * (sea - land), 0, 255)
    for layer, value in zip(canvas.layers[1:], (int(rng.integers(6, 30)), 0, 0), strict=True):
        layer[:] = layer + wet * (np.float32(value) - layer)
    for _ in range(rng.poisson(2.0 * size / 1280)):
        _draw_jetty(canvas, inland, rng)


def _draw_jetty(canvas: Canvas, inland: Field, rng: Generator) -> None:
    """Paint a jetty from the shore to deep water, in most cases with a ship."""
    shore = np.argwhere(np.abs(inland) < 1.0)
    if not len(shore):
        return
    row, column = shore[rng.integers(len(shore))]
    start = np.array([column, row]) * float(_MAP)
    slope_y, slope_x = (slope[row, column] for slope in np.gradient(inland))
    turn = float(np.arctan2(-slope_y, -slope_x))
    seaward = unit(turn)
    head = start + seaward * rng.uniform(40, 220)
    column, row = (head / _MAP).astype(int)
    if not (0 <= row < len(inland) and 0 <= column < len(inland)) or inland[row, column] > -2:
        return
    grey = tint((168, 164, 156), rng)
    canvas.line(np.array([start - seaward * 6, head]), grey, rng.uniform(1, 4))
    pier = rng.uniform(20, 90)
    canvas.block(Rectangle(head, np.array([6, pier]), turn).outline(), 4, grey)
    if rng.random() < 0.6:
        _draw_ship(canvas, head + seaward * rng.uniform(12, 18), turn + np.pi / 2, pier * rng.uniform(0.9, 1.8), rng)


def _draw_ship(canvas: Canvas, centre: Array, turn: float, length: float, rng: Generator) -> None:
    beam = length / rng.uniform(5.5, 7.5)
    hull = np.array([[-0.5, -0.45], [0.38, -0.5], [0.5, 0.0], [0.38, 0.5], [-0.5, 0.45]]) * (length, beam)
    forward = unit(turn) * length
    deck = tint(rng.choice([(150, 70, 58), (96, 104, 100), (120, 116, 112)]), rng, 8)
    canvas.block(centre + hull @ axes(turn), 6, deck)
    bridge = Rectangle(centre - forward * 0.4, np.array([length * 0.1, beam * 0.8]), turn)
    canvas.block(bridge.outline(), 14, (226, 224, 218))
    canvas.line(centre + np.outer([-0.3, 0.42], forward), (190, 186, 178))
    for t in np.arange(-0.25, 0.4, 0.1):
        canvas.polygon(circle(centre + forward * t, 0.8), (180, 176, 168))
