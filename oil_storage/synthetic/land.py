"""The land between terminals: parcels under vegetation or houses, and the roads across them."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import Colour, shade, tint
from oil_storage.synthetic.distractors import Distractor, draw_distractor
from oil_storage.synthetic.geometry import Array, rectangle, smooth_noise, unit, wobbly_circle


class Warp:
    """A gentle bend of the plane, so that what is laid out on straight axes has curved borders."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        lengths = np.array([max(size, 700) * 0.9, 420.0, 190.0, 90.0])
        bend = rng.uniform(0.0, 0.28)
        self._waves = np.stack([unit(t) * 2 * np.pi / s for t, s in zip(rng.uniform(0, 7, 4), lengths, strict=True)])
        self._phases = rng.uniform(0, 2 * np.pi, 4)
        directions = np.stack([unit(t) for t in rng.uniform(0, 7, 4)])
        self._reach = directions * (bend * lengths * (0.16, 0.14, 0.1, 0.06))[:, None]

    def __call__(self, points: Array) -> Array:
        """Bend points ``(..., 2)``."""
        return np.asarray(points + np.sin(points @ self._waves.T + self._phases) @ self._reach)


@dataclass(frozen=True)
class Parcel:
    """A bent rectangle of land.

    Attributes:
        centre: ``(2,)`` px before the bend.
        width: px along ``angle``.
        height: px across it.
        angle: radians.
        use: index into the palette's uses.
        warp: the bend of the scene.
    """

    centre: Array
    width: float
    height: float
    angle: float
    use: int
    warp: Warp

    @cached_property
    def _axes(self) -> Array:
        return np.stack([unit(self.angle), unit(self.angle + np.pi / 2)])

    def place(self, offset: Array) -> Array:
        """Points in the scene of offsets ``(..., 2)`` px from the centre along the parcel's axes."""
        return self.warp(self.centre + offset @ self._axes)

    def axis(self, offset: Array) -> float:
        """Direction of the parcel's first axis at an offset ``(2,)``, radians."""
        step = self.place(offset + np.array([2.0, 0.0])) - self.place(offset)
        return float(np.arctan2(step[1], step[0]))

    def strip(self, low: Array, high: Array) -> Array:
        """Outline ``(n, 2)`` of the part of the parcel between two corners given as offsets."""
        corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
        sides = []
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            steps = max(1, int(np.abs(end - start).max() / 12))
            sides.append(start + np.linspace(0, 1, steps, endpoint=False)[:, None] * (end - start))
        return self.place(np.concatenate(sides))

    def outline(self, inset: float = 0.0) -> Array:
        """Border ``(n, 2)``, ``inset`` px inside the parcel."""
        corner = np.array([self.width / 2 - inset, self.height / 2 - inset])
        return self.strip(-corner, corner)

    def scatter(self, spacing: float, rng: np.random.Generator) -> Array:
        """Random points ``(n, 2)``, one per ``spacing`` px squared."""
        count = int(self.width * self.height / spacing**2)
        return self.place((rng.random((count, 2)) - 0.5) * (self.width, self.height))


def plan_parcels(size: int, uses: tuple[float, ...], rng: np.random.Generator) -> list[Parcel]:
    """Cut the land into parcels by splitting a turned square again and again; neighbours tend to share their use.

    ``uses`` are the weights of the uses. Parcels that cannot show in the scene are left out.
    """
    angle, warp, typical = rng.uniform(0, np.pi / 2), Warp(size, rng), rng.uniform(90, 330)
    character = smooth_noise(64, 14, rng)
    ranks, shares = np.sort(character.ravel()), np.cumsum(uses) / sum(uses)
    pieces = [(np.array([size / 2, size / 2]), 1.6 * size, 1.6 * size)]
    parcels: list[Parcel] = []
    while pieces:
        centre, width, height = pieces.pop()
        if np.abs(centre - size / 2).max() > size / 2 + max(width, height) + 40:
            continue
        if max(width, height) < typical * np.exp(rng.normal(0.1, 0.35)):
            row, column = np.clip((centre / size * 63).astype(int)[::-1], 0, 63)
            rank = 0.75 * np.searchsorted(ranks, character[row, column]) / ranks.size + 0.25 * rng.random()
            use = min(int(np.searchsorted(shares, rank)), len(uses) - 1)
            parcels.append(Parcel(centre, width, height, angle, use, warp))
            continue
        share = rng.uniform(0.3, 0.7)
        lengthwise = width > height
        step = unit(angle) * width if lengthwise else unit(angle + np.pi / 2) * height
        for part, place in ((share, share / 2 - 0.5), (1 - share, share / 2)):
            cut = (width * part, height) if lengthwise else (width, height * part)
            pieces.append((centre + step * place, *cut))
    return parcels


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

    The footprint has ``width`` px along ``angle`` and ``depth`` px across it; ``height`` is in metres.
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


def draw_town(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    """Paint a quarter: blocks of houses that share a few roofs, or industry."""
    if rng.random() < 0.35:
        _draw_industry(canvas, parcel, rng)
    else:
        _draw_houses(canvas, parcel, rng)


def _draw_houses(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    palette = canvas.climate.palette
    street = tint((124, 120, 114), rng) if rng.random() < 0.6 else shade(tint(palette.ground, rng), 1.1)
    garden = shade(tint(palette.ground, rng), rng.uniform(0.8, 1.0))
    roofs = [shade(roof_colour(canvas, rng), rng.uniform(0.6, 0.85)) for _ in range(3)]
    lot, block = rng.uniform(11, 21), rng.uniform(24, 40)
    dense, green = rng.uniform(0.55, 0.95), rng.uniform(0.05, 0.5)
    canvas.polygon(parcel.outline(), street, grain=34)
    half = np.array([parcel.width, parcel.height]) / 2
    run = lot * rng.integers(6, 14)
    for y in np.arange(-half[1] + 2, half[1] - block * 0.7, block):
        for x in np.arange(-half[0] + 2, half[0] - lot, run):
            high = np.array([min(x + run - 4, half[0] - 2), y + block - 4])
            canvas.polygon(parcel.strip(np.array([x, y]), high), tint(garden, rng, 4), grain=80)
        for x in np.arange(-half[0] + lot * 0.6, half[0] - lot * 0.5, lot):
            for row in (0.24, 0.68):
                offset = np.array([x, y + row * block]) + rng.normal(0, 1.3, 2)
                if rng.random() < green:
                    place = parcel.place(offset + rng.normal(0, 4, 2))
                    draw_tree(canvas, place, rng.uniform(1.2, 3), rng)
                if rng.random() > dense:
                    continue
                wide, deep = lot * rng.uniform(0.4, 0.82), block * rng.uniform(0.2, 0.36)
                turn = parcel.axis(offset) + (np.pi / 2 if rng.random() < 0.25 else 0.0)
                roof = tint(roofs[rng.integers(len(roofs))], rng, 7)
                draw_building(canvas, parcel.place(offset), wide, deep, turn, rng.uniform(3, 7), roof, rng)


def _draw_industry(canvas: Canvas, parcel: Parcel, rng: np.random.Generator) -> None:
    yard = tint(canvas.climate.palette.yards[rng.integers(2)], rng, 8)
    canvas.polygon(parcel.outline(), shade(yard, 0.9), grain=50)
    canvas.polygon(parcel.outline(inset=4), yard, grain=60)
    half = np.array([parcel.width, parcel.height]) / 2
    y = -half[1] + 6
    while y < half[1] - 18:
        deep = rng.uniform(16, 60)
        x = -half[0] + 6 + rng.uniform(0, 20)
        while x < half[0] - 18:
            wide = rng.uniform(16, 80)
            if x + wide > half[0] - 4 or y + deep > half[1] - 4:
                break
            offset = np.array([x + wide / 2, y + deep / 2])
            place, turn = parcel.place(offset), parcel.axis(offset)
            kind = rng.random()
            if kind < 0.55:
                fill = rng.uniform(0.6, 0.92)
                roof = roof_colour(canvas, rng)
                draw_building(canvas, place, wide * fill, deep * fill, turn, rng.uniform(5, 12), roof, rng)
            elif kind < 0.75:
                _draw_parked(canvas, parcel, offset, np.array([wide, deep]), rng)
            elif kind < 0.85:
                canvas.polygon(rectangle(place, wide * 0.9, deep * 0.9, turn), canvas.climate.palette.ground, grain=90)
            x += wide + rng.uniform(4, 16)
        y += deep + rng.uniform(6, 14)


def _draw_parked(canvas: Canvas, parcel: Parcel, centre: Array, size: Array, rng: np.random.Generator) -> None:
    """Paint cars, two or three pixels each."""
    for row in np.arange(-size[1] / 2 + 4, size[1] / 2 - 3, 9.0):
        for column in np.arange(-size[0] / 2 + 2, size[0] / 2 - 1, 2.6):
            if rng.random() < 0.5:
                offset = centre + np.array([column, row])
                grey = float(rng.choice([60, 90, 130, 170, 200]))
                spot = rectangle(parcel.place(offset), 1.4, 3.4, parcel.axis(offset))
                canvas.polygon(spot, tint((grey, grey, grey), rng, 8), grain=8)


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
        vehicle = rectangle(place, rng.choice([3.5, 3.5, 9.0]), 1.6, turn)
        canvas.polygon(vehicle, tint((paint, paint, paint), rng), grain=8)


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
    return np.asarray(start + np.outer(t * size, unit(turn)) + np.outer(sway, unit(turn + np.pi / 2)))


# In the order of Palette.uses.
_USES = (draw_field, draw_forest, draw_town, draw_scrub, draw_bare)


def draw_land(canvas: Canvas, parcels: list[Parcel], circles: list[Distractor], rng: np.random.Generator) -> None:
    """Paint the parcels, low things first so that crowns and houses stand over their neighbours' ground, then roads.

    Parcels that a circle of irrigation reaches are farmed.
    """
    canvas.albedo[:] = np.asarray(tint(canvas.climate.palette.ground, rng), np.uint8)
    canvas.grain[:] = 90
    parcels = [replace(p, use=_USES.index(draw_field)) if _is_irrigated(p, circles) else p for p in parcels]
    for parcel in sorted(parcels, key=lambda parcel: (0, 4, 3, 2, 1)[parcel.use]):
        _USES[parcel.use](canvas, parcel, rng)
    for circle in circles:
        draw_distractor(canvas, circle, rng)
    draw_roads(canvas, rng)


def _is_irrigated(parcel: Parcel, circles: list[Distractor]) -> bool:
    outline = parcel.outline()
    middle = outline.mean(axis=0)
    reach = float(np.linalg.norm(outline - middle, axis=1).max())
    return any(np.linalg.norm(circle.centre - middle) < circle.radius + reach for circle in circles)
