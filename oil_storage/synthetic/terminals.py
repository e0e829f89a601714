"""Paint terminals: tanks, bunds (walls around tanks), service roads, pipes and cells without tanks."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from oil_storage.synthetic.canvas import Canvas, Colour, shade, tint
from oil_storage.synthetic.geometry import Array, Rectangle, axes, blob, circle, hull, sweep, unit
from oil_storage.synthetic.land import draw_building
from oil_storage.synthetic.layout import Cell, Tank, Terminal

# Roof colours with their weights; most tanks in the Airbus data set are white, then grey.
_PAINTS: dict[Colour, float] = {
    (252, 250, 244): 0.62, (198, 196, 188): 0.15, (160, 158, 152): 0.12, (206, 192, 160): 0.08, (96, 96, 98): 0.1,
    (62, 62, 66): 0.05, (150, 104, 78): 0.05, (128, 146, 126): 0.03, (168, 72, 62): 0.02,
}  # fmt: skip
_DECKS = ((214, 210, 200), (176, 166, 150), (140, 116, 96), (116, 112, 108), (92, 84, 78))


@dataclass(frozen=True)
class TankStyle:
    """Appearance of a group of similar tanks."""

    roof: Literal["cone", "dome", "floating"]
    paint: Colour
    slope: float  # brightness difference between the sunlit side of the roof and the other side; larger for domes
    deck: Colour  # colour of a floating roof
    depth: float  # depth of a floating roof below the rim, as a share of the tank height


def draw_style(diameter: float, rng: Generator) -> TankStyle:
    """Draw a style for tanks of about ``diameter`` px; large tanks have floating roofs more often."""
    floating = 0.0 if diameter < 11 else 0.15 if diameter < 16 else 0.3 if diameter < 35 else 0.55
    weights = np.array(list(_PAINTS.values()))
    paint = list(_PAINTS)[rng.choice(len(_PAINTS), p=weights / weights.sum())]
    if rng.random() < floating:
        return TankStyle("floating", paint, 0.0, tint(rng.choice(_DECKS), rng), rng.uniform(0.1, 0.85))
    if rng.random() < 0.3:
        return TankStyle("dome", paint, rng.uniform(0.18, 0.42), paint, 0.0)
    return TankStyle("cone", paint, rng.uniform(0.03, 0.16), paint, 0.0)


def cast_tank_shadow(canvas: Canvas, tank: Tank) -> None:
    """Cast the shadow of a tank."""
    base = tank.centre - canvas.climate.lean * tank.height
    canvas.cast(circle(base, tank.diameter / 2 - 0.5), tank.height)


def draw_tank(canvas: Canvas, tank: Tank, style: TankStyle, rng: Generator) -> None:
    """Paint the wall and the roof of a tank.

    The roof is exactly the disc from which :meth:`Tank.box` computes the label. Pixels at its edge are partly covered.
    """
    radius = tank.diameter / 2
    paint = tint(style.paint, rng, 4)
    # Anti-aliased edges in OpenCV extend one pixel beyond the outline. The wall is therefore drawn smaller.
    foot = circle(tank.centre - canvas.climate.lean * tank.height, radius - 1.2)
    canvas.polygon(sweep(foot, canvas.climate.lean * tank.height), shade(paint, 0.62), grain=8)
    where, offset = canvas.window(tank.centre, radius + 1)
    distance = np.linalg.norm(offset, axis=-1)
    if style.roof == "floating":
        light, shadow = _floating(canvas, tank, style, offset, paint, rng)
    else:
        towards_sun = -(offset @ canvas.climate.shadow_direction) / radius
        light, shadow = _fixed(style, towards_sun, distance / radius, paint, rng), np.zeros_like(distance)
    light = _weather(light, offset, radius, style, rng)
    canvas.blend(where, _disc(distance, radius, canvas.zoom), light, 14 if style.roof == "floating" else 8, shadow)
    _fittings(canvas, tank, style, rng)


def _disc(distance: Array, radius: float, zoom: float) -> Array:
    """Return the share of each pixel that a disc covers.

    Args:
        distance: distance of each pixel from the centre of the disc, in px of the plan.
        radius: radius in px of the plan.
        zoom: image pixels per plan pixel.
    """
    return np.clip((radius - distance) * zoom + 0.5, 0, 1)


def _fixed(style: TankStyle, towards_sun: Array, reach: Array, paint: Colour, rng: Generator) -> Array:
    """Shade a fixed roof: a cone with a brighter sunlit half, or a dome with a gradient and a highlight."""
    if style.roof == "cone":
        relief = style.slope * towards_sun / np.maximum(reach, 0.35)
    else:
        relief = style.slope * (1.4 * towards_sun - 0.25 * reach**2)
        relief = relief + 0.35 * np.exp(-((towards_sun - 0.45) ** 2 + reach**2 - towards_sun**2) / 0.035)
    relief = relief - 0.12 * np.clip((reach - 0.9) * 10, 0, 1) * rng.integers(0, 2)
    return np.asarray(np.asarray(paint) * (1 + relief)[..., None])


def _floating(
    canvas: Canvas, tank: Tank, style: TankStyle, offset: Array, paint: Colour, rng: Generator
) -> tuple[Array, Array]:
    """Return the colours ``(h, w, 3)`` of a floating roof with a bright rim, and the shadow ``(h, w)`` of the rim."""
    inner = tank.diameter / 2 - min(1.0 + 0.02 * tank.diameter, 0.2 * tank.diameter)
    distance = np.linalg.norm(offset, axis=-1)
    inside = _disc(distance, inner, canvas.zoom)
    fall = canvas.climate.shadow * tank.height * style.depth * rng.uniform(0.8, 1.2)
    lit = _disc(np.linalg.norm(offset - fall, axis=-1), inner, canvas.zoom)
    deck = np.asarray(tint(style.deck, rng, 5))
    pontoon = inner * rng.uniform(0.72, 0.86)
    ring = np.clip(1 - np.abs(distance - pontoon) / max(0.8, 0.03 * inner), 0, 1) * rng.uniform(-0.2, 0.25)
    rim = np.asarray(shade(paint, 1.1))
    light = deck * (1 + ring)[..., None] * inside[..., None] + rim * (1 - inside)[..., None]
    return light, inside * (1 - lit)


def _weather(light: Array, offset: Array, radius: float, style: TankStyle, rng: Generator) -> Array:
    """Add stains to a roof, and seams if the roof is large."""
    stain = np.zeros(offset.shape[:2])
    for _ in range(rng.poisson(1.5 if style.roof == "floating" else 0.5)):
        away = offset - unit(rng.uniform(0, 2 * np.pi)) * radius * rng.uniform(0, 0.8)
        wide = radius * rng.uniform(0.08, 0.4)
        stain += rng.uniform(-0.22, 0.08) * np.exp(-(away**2).sum(axis=-1) / (2 * wide**2))
    if radius > 12:
        sectors, turn = rng.integers(8, 20), rng.uniform(0, 2 * np.pi)
        seam = np.cos(sectors * (np.arctan2(offset[..., 1], offset[..., 0]) + turn)) ** 16
        stain -= rng.uniform(0, 0.07) * seam * (np.linalg.norm(offset, axis=-1) > 0.15 * radius)
    return light * (1 + stain)[..., None]


def _fittings(canvas: Canvas, tank: Tank, style: TankStyle, rng: Generator) -> None:
    """Paint a ladder and a centre vent on some of the roofs that are at least 14 px wide."""
    radius = tank.diameter / 2
    if radius < 7:
        return
    turn = unit(rng.uniform(0, 2 * np.pi))
    dark = shade(style.paint, 0.55)
    if style.roof == "floating":
        canvas.line(
            tank.centre + np.outer([radius - 1.5, radius * rng.uniform(0.05, 0.4)], turn), shade(style.deck, 0.6)
        )
    elif rng.random() < 0.6:
        canvas.line(tank.centre + np.outer([radius - 1.5, radius * rng.uniform(0.5, 0.9)], turn), dark)
    if rng.random() < 0.5:
        canvas.polygon(circle(tank.centre, max(0.7, radius * 0.06)), dark, grain=8)


def draw_site(canvas: Canvas, terminal: Terminal, rng: Generator) -> None:
    """Paint the fenced ground of a terminal."""
    if not terminal.cells:
        return
    margin = terminal.road + rng.uniform(2, 14)
    fence = hull(np.concatenate([cell.outline(margin=margin) for cell in terminal.cells]))
    ground = _site_colour(canvas, rng)
    canvas.polygon(fence, ground, grain=80)
    for cell in terminal.cells:
        for _ in range(rng.poisson(1.5)):
            centre = cell.centre + rng.normal(0, 0.6, 2) * cell.size.mean()
            canvas.polygon(blob(centre, rng.uniform(3, 20), 0.4, rng), tint(ground, rng, 6), grain=90)
    canvas.line(fence, shade(ground, 0.7), 2, closed=True)
    canvas.line(fence, shade(ground, 1.15), closed=True)


def _site_colour(canvas: Canvas, rng: Generator) -> Colour:
    if rng.random() < 0.3:
        return tint(canvas.palette.ground, rng, 8)
    return shade(tint(rng.choice(canvas.palette.yards), rng, 10), 1.12)


def draw_terminal(canvas: Canvas, terminal: Terminal, rng: Generator) -> None:
    """Paint the cells and tanks of a terminal. All tank shadows are painted before the first tank."""
    road = tint((126, 122, 116), rng, 8) if rng.random() < 0.7 else _site_colour(canvas, rng)
    floor, walled = _site_colour(canvas, rng), rng.random() < 0.5
    for cell in terminal.cells:
        if rng.random() < 0.8:
            canvas.line(cell.outline(margin=terminal.road / 2), road, terminal.road * 0.6, grain=30, closed=True)
    for cell in terminal.cells:
        canvas.polygon(cell.outline(), tint(floor, rng, 7), grain=85)
        for _ in range(rng.poisson(0.4 + cell.size.prod() / 2500)):  # stains
            stain = blob(_within(cell, rng, 0.75), rng.uniform(1.5, 0.12 * cell.size.min() + 2), 0.35, rng)
            canvas.polygon(stain, shade(tint(floor, rng, 6), rng.uniform(0.78, 1.08)), grain=80)
        if cell.kind == "tanks":
            _draw_bund(canvas, cell, floor, walled, rng)
    for cell in terminal.cells:
        if cell.kind != "tanks":
            _FILLED[cell.kind](canvas, cell, rng)
    for cell in terminal.cells:
        _draw_pipes(canvas, cell, terminal.road, rng)
    for cell in terminal.cells:
        for tank in cell.tanks:
            cast_tank_shadow(canvas, tank)
    for cell in terminal.cells:
        if cell.tanks:
            styles = [draw_style(cell.tanks[0].diameter, rng) for _ in range(1 + int(rng.random() < 0.3))]
            for tank in cell.tanks:
                draw_tank(canvas, tank, styles[rng.integers(len(styles))], rng)


def _draw_bund(canvas: Canvas, cell: Cell, floor: Colour, walled: bool, rng: Generator) -> None:
    outline = cell.outline(margin=-1.0)
    for side in np.stack([outline, np.roll(outline, -1, axis=0)], axis=1):
        if walled:  # a concrete wall: a light line next to its shadow
            canvas.line(side + canvas.climate.shadow_direction * 1.4, shade(floor, 0.6))
            canvas.line(side, tint((196, 192, 182), rng, 4))
        else:  # an earth dike: the slope facing the sun is bright, the other slope is dark
            outward = side.mean(axis=0) - cell.centre
            outward /= np.linalg.norm(outward)
            facing = -float(outward @ canvas.climate.shadow_direction)
            canvas.line(side, shade(floor, 1 + 0.28 * facing), 2)
            canvas.line(side - outward * 2.5, shade(floor, 1 - 0.3 * facing), 2)


def _draw_pipes(canvas: Canvas, cell: Cell, road: float, rng: Generator) -> None:
    across, along = axes(cell.angle)
    width, height = cell.size
    pipe = tint((182, 178, 168), rng, 8)
    side = 1.0 if rng.random() < 0.5 else -1.0
    edge = cell.centre + side * along * (height / 2 + road * 0.3)
    if rng.random() < 0.7:
        for k in range(int(rng.integers(1, 4))):
            line = edge + np.outer([-0.5, 0.5], across) * width + along * (k * 1.6 - 1.6)
            canvas.line(line, pipe if k % 2 == 0 else shade(pipe, 0.62))
    for tank in cell.tanks:
        if tank.diameter > 9:
            canvas.line(np.array([tank.centre, tank.centre + along * ((edge - tank.centre) @ along)]), pipe)
        if tank.diameter > 12 and rng.random() < 0.7:  # valves and a pump next to the tank
            beside = tank.centre + unit(rng.uniform(0, 2 * np.pi)) * (tank.diameter / 2 + rng.uniform(1.5, 4))
            pump = Rectangle(beside, rng.uniform(1, 3, 2), cell.angle)
            canvas.block(pump.outline(), 2.0, tint((190, 186, 176), rng, 12))
    for _ in range(rng.poisson(0.02 * width)):  # sheds, poles and cars along the roads
        centre = cell.at((rng.uniform(-0.5, 0.5) * width, -side * (height / 2 + road * rng.uniform(0.2, 0.7))))
        size, grey = rng.uniform(1.2, 4, 2), rng.choice([60, 100, 140, 190])
        canvas.block(Rectangle(centre, size, cell.angle).outline(), rng.uniform(1, 5), tint([grey] * 3, rng, 8))


def _within(cell: Cell, rng: Generator, inset: float = 0.85) -> Array:
    return cell.at(rng.uniform(-0.5, 0.5, 2) * inset * cell.size)


def _process(canvas: Canvas, cell: Cell, rng: Generator) -> None:
    """Paint a process unit: pipe racks and small steel structures with their shadows."""
    area = cell.size.prod()
    for _ in range(int(area / 70)):
        size = np.array([np.exp(rng.uniform(np.log(2), np.log(22))), rng.uniform(1.2, 3.5)])
        turn = cell.angle + (np.pi / 2 if rng.random() < 0.5 else 0.0)
        steel = tint(rng.choice([60, 90, 120, 150, 190]) * np.array([1, 0.98, 0.95]), rng, 8)
        canvas.block(Rectangle(_within(cell, rng), size, turn).outline(), rng.uniform(1, 12), steel)
    for _ in range(int(area / 900)):
        column = circle(_within(cell, rng), rng.uniform(0.7, 1.4))
        canvas.block(column, rng.uniform(10, 40), (200, 198, 192))


def _buildings(canvas: Canvas, cell: Cell, rng: Generator) -> None:
    rows = max(1, int(cell.size[1] / rng.uniform(24, 50)))
    for row in range(rows):
        middle = cell.at((0.0, ((row + 0.5) / rows - 0.5) * cell.size[1]))
        size = cell.size / (1, rows) * rng.uniform((0.4, 0.35), (0.9, 0.75))
        height, roof = rng.uniform(4, 10), tint(rng.choice(canvas.palette.roofs), rng, 9)
        draw_building(canvas, Rectangle(middle, size, cell.angle), height, roof, rng)


def _yard(canvas: Canvas, cell: Cell, rng: Generator) -> None:
    """Paint rows of lorries, wagons or containers."""
    paints = ((196, 194, 188), (150, 70, 60), (70, 90, 130), (120, 116, 110), (170, 130, 80))
    step_x, step_y = rng.uniform(9, 14), rng.uniform(3.2, 5)
    half = cell.size / 2
    for u in np.arange(-half[0] + 6, half[0] - 5, step_x):
        for v in np.arange(-half[1] + 4, half[1] - 3, step_y):
            if rng.random() < 0.6:
                paint = tint(rng.choice(paints), rng, 8)
                lorry = Rectangle(cell.at((u, v)), np.array([step_x * 0.8, 2.2]), cell.angle)
                canvas.block(lorry.outline(), 3.0, paint)


def _empty(canvas: Canvas, cell: Cell, rng: Generator) -> None:
    """Paint an empty cell with patches of bare ground."""
    for _ in range(rng.poisson(4)):
        patch = Rectangle(_within(cell, rng, 0.5), rng.uniform(5, 26, 2), cell.angle)
        canvas.polygon(patch.outline(), tint(canvas.palette.ground, rng, 14), grain=100)


_FILLED = {"process": _process, "buildings": _buildings, "yard": _yard, "empty": _empty}
