"""Distractors: round objects that are not tanks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from oil_storage.synthetic.canvas import Canvas, Colour, shade, tint
from oil_storage.synthetic.geometry import Array, blob, circle, unit
from oil_storage.synthetic.layout import Occupancy

_ASPHALT: Colour = (104, 104, 106)
_CONCRETE: Colour = (176, 172, 162)


@dataclass(frozen=True)
class Distractor:
    """Round object that is not a tank; ``centre`` ``(2,)`` and ``radius`` are in pixels."""

    kind: str
    centre: Array
    radius: float


def plan_distractors(tanks: int, taken: Occupancy, rng: Generator) -> list[Distractor]:
    """Place round objects that are not tanks: 0.29 to 0.55 per tank, or fewer if there is not enough free ground."""
    wanted = int(np.ceil(tanks * rng.uniform(0.29, 0.55))) + 1
    distractors: list[Distractor] = []
    for _ in range(wanted * 60):
        if len(distractors) >= wanted:
            break
        kind = rng.choice(list(_KINDS), p=[share for share, _, _ in _KINDS.values()])
        low, high = _KINDS[kind][1]
        radius = float(np.exp(rng.uniform(np.log(low), np.log(min(high, taken.size / 6)))))
        count = 1
        if kind in ("silo", "clarifier"):
            count = min(int(rng.integers(2, 9)), wanted - len(distractors), 8 if kind == "silo" else 4)
        centre = rng.uniform(0, taken.size, 2)
        step = unit(rng.uniform(0, np.pi)) * radius * (2.04 if kind == "silo" else 2.5)
        centres = centre + step * np.arange(count)[:, None]
        inside = (np.abs(centres - taken.size / 2) < (taken.size - radius) / 2).all()
        if inside and all(taken.is_free(circle(c, radius + 6)) for c in centres):
            for c in centres:
                taken.take(circle(c, radius + 4))
                distractors.append(Distractor(kind, c, radius))
    return distractors


def draw_setting(canvas: Canvas, thing: Distractor, rng: Generator) -> None:
    """Paint the roads of a roundabout or the yard of a silo. Terminals and water may cover them later."""
    if thing.kind == "roundabout":
        asphalt, start = tint(_ASPHALT, rng), rng.uniform(0, np.pi)
        for turn in start + np.array([0.0, 1.7, 3.1, 4.6])[: rng.integers(3, 5)]:
            bend = rng.normal(0, 0.4) * np.linspace(0, 1, 30)
            reach = np.linspace(0, rng.uniform(60, 350), 30)[:, None]
            arm = thing.centre + unit(turn + bend) * reach
            canvas.line(arm, asphalt, max(4.0, thing.radius * 0.35), grain=14)
    elif thing.kind == "silo":
        yard = tint(canvas.palette.yards[0], rng, 2)
        canvas.polygon(blob(thing.centre, thing.radius * 3 + 4, 0.15, rng), yard, grain=60)


def draw_distractor(canvas: Canvas, thing: Distractor, rng: Generator) -> None:
    """Paint a distractor, such as a pond or a silo."""
    _KINDS[thing.kind][2](canvas, thing.centre, thing.radius, rng)


def _roundabout(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    canvas.polygon(circle(centre, radius), tint(_ASPHALT, rng), grain=14)
    island = tint(canvas.palette.trees if rng.random() < 0.5 else canvas.palette.ground, rng)
    canvas.polygon(circle(centre, radius * 0.62), shade(_CONCRETE, 0.95), grain=10)
    canvas.polygon(circle(centre, radius * 0.62 - 1.0), shade(island, 1.15), grain=60)


def _pond(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    water = tint(rng.choice(canvas.palette.water), rng, 10)
    outline = blob(centre, radius, rng.uniform(0.02, 0.16), rng)
    canvas.polygon(centre + (outline - centre) * (1 + 2.5 / radius), tint(canvas.palette.ground, rng), grain=60)
    canvas.polygon(outline, water, grain=8)


def _irrigation(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    crop = tint(rng.choice(canvas.palette.fields) if rng.random() < 0.4 else (72, 98, 56), rng, 10)
    canvas.polygon(circle(centre, radius), crop, grain=46)
    if rng.random() < 0.5:
        start, wide = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 2.5)
        arc = centre + radius * unit(np.linspace(start, start + wide, 40))
        canvas.polygon(np.concatenate([centre[None], arc]), tint(crop, rng, 12), grain=46)
    for ring in np.arange(radius * 0.15, radius, radius / rng.integers(4, 9)):
        canvas.line(circle(centre, float(ring)), shade(crop, 1.06), closed=True)
    canvas.line(np.array([centre, centre + unit(rng.uniform(0, 2 * np.pi)) * radius]), (168, 164, 148))


def _clarifier(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    water = tint(rng.choice([(52, 66, 54), (70, 72, 58), (40, 58, 66), (88, 78, 60)]), rng)
    canvas.polygon(circle(centre, radius), tint(_CONCRETE, rng), grain=10)
    canvas.polygon(circle(centre, radius - 1.2), water, grain=10)
    if radius > 9:
        canvas.line(circle(centre, radius * 0.72), shade(water, 1.25), closed=True)
    turn = unit(rng.uniform(0, np.pi))
    canvas.line(np.array([centre - turn * radius * rng.choice([0.0, 1.0]), centre + turn * radius]), (190, 188, 180))
    canvas.polygon(circle(centre, max(0.8, radius * 0.12)), (160, 158, 150), grain=10)


def _silo(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    # A steep conical roof with a lit half, a dark half and a dark cap.
    height = rng.uniform(16, 24)
    steel = tint((150, 152, 156), rng, 4)
    middle = canvas.block(circle(centre, radius), height, shade(steel, 1.2))
    away = canvas.climate.shadow_direction
    half = middle + radius * unit(np.arctan2(away[1], away[0]) + np.linspace(-1.5, 1.5, 12))
    canvas.polygon(np.concatenate([half, middle[None]]), shade(steel, 0.5), grain=10)
    canvas.polygon(circle(middle, max(0.7, radius * 0.25)), (70, 70, 72), grain=10)


def _tree(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    leaf = tint(canvas.palette.trees, rng, 8)
    crown = blob(centre, radius, 0.1, rng)
    canvas.cast(crown, radius * 1.1)
    canvas.polygon(crown, shade(leaf, 0.8), grain=60, bump=120)
    lit = centre - canvas.climate.shadow_direction * radius * 0.3
    canvas.polygon(blob(lit, radius * 0.6, 0.15, rng), shade(leaf, 1.35), grain=60, bump=120)


def _pad(canvas: Canvas, centre: Array, radius: float, rng: Generator) -> None:
    # The foundation of a removed or planned tank: a flat ring of gravel without shadow or roof.
    ground = tint(canvas.palette.ground, rng)
    gravel = tint(canvas.palette.yards[0], rng, 10)
    canvas.polygon(circle(centre, radius + 1), gravel, grain=60)
    canvas.polygon(circle(centre, radius * rng.uniform(0.6, 0.85)), ground, grain=90)
    if rng.random() < 0.4:
        canvas.polygon(blob(centre, radius * 0.4, 0.3, rng), shade(ground, 0.75), grain=90)


# Share of each kind, range of the radius in pixels, and paint function.
_KINDS: dict[str, tuple[float, tuple[float, float], Callable[[Canvas, Array, float, Generator], None]]] = {
    "roundabout": (0.08, (9, 26), _roundabout),
    "pond": (0.14, (4, 36), _pond),
    "irrigation": (0.06, (40, 150), _irrigation),
    "clarifier": (0.12, (6, 22), _clarifier),
    "silo": (0.16, (2.5, 5.5), _silo),
    "tree": (0.32, (2.5, 8), _tree),
    "pad": (0.12, (5, 30), _pad),
}
