"""Paints terminals: their tanks, service roads, bunds, pipes, and the lots without tanks."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from oil_storage.synthetic.canvas import Canvas, Window
from oil_storage.synthetic.climate import Colour, shade, tint
from oil_storage.synthetic.geometry import Array, circle, rectangle, sweep, unit, wobbly_circle
from oil_storage.synthetic.land import draw_building, roof_colour
from oil_storage.synthetic.layout import Cell, Tank, Terminal

# Paint of roofs with its weight; the real set is mostly white, then grey, then everything else.
_PAINTS: tuple[tuple[float, Colour], ...] = (
    (0.62, (252, 250, 244)), (0.15, (198, 196, 188)), (0.12, (160, 158, 152)), (0.08, (206, 192, 160)),
    (0.10, (96, 96, 98)), (0.05, (62, 62, 66)), (0.05, (150, 104, 78)), (0.03, (128, 146, 126)), (0.02, (168, 72, 62)),
)  # fmt: skip


@dataclass(frozen=True)
class TankStyle:
    """What the tanks of a batch share.

    Attributes:
        slope: how much a roof's sunny side is lighter than its far side; domes are steeper than cones.
        deck: colour of a floating roof.
        depth: of a floating roof below the rim, as a share of the height.
    """

    roof: Literal["cone", "dome", "floating"]
    paint: Colour
    slope: float
    deck: Colour
    depth: float


def draw_style(diameter: float, rng: np.random.Generator) -> TankStyle:
    """Draw a style for tanks of about ``diameter`` px: large ones have floating roofs more often."""
    floating = 0.0 if diameter < 11 else 0.15 if diameter < 16 else 0.3 if diameter < 35 else 0.55
    weights = np.array([weight for weight, _ in _PAINTS])
    paint = _PAINTS[rng.choice(len(_PAINTS), p=weights / weights.sum())][1]
    decks: tuple[Colour, ...] = ((214, 210, 200), (176, 166, 150), (140, 116, 96), (116, 112, 108), (92, 84, 78))
    if rng.random() < floating:
        return TankStyle("floating", paint, 0.0, tint(decks[rng.integers(len(decks))], rng), rng.uniform(0.1, 0.85))
    if rng.random() < 0.3:
        return TankStyle("dome", paint, rng.uniform(0.18, 0.42), paint, 0.0)
    return TankStyle("cone", paint, rng.uniform(0.03, 0.16), paint, 0.0)


def cast_tank_shadow(canvas: Canvas, tank: Tank) -> None:
    """Cast the shadow of a tank."""
    base = tank.centre - canvas.climate.lean * tank.height
    canvas.cast(circle(base, tank.diameter / 2 - 0.5), tank.height)


def draw_tank(canvas: Canvas, tank: Tank, style: TankStyle, rng: np.random.Generator) -> None:
    """Paint wall and roof of a tank.

    The roof is the exact disc of the label: a pixel is covered by as much of it as lies within the radius.
    """
    radius = tank.diameter / 2
    paint = tint(style.paint, rng, 4)
    # OpenCV's smooth edges reach a pixel beyond the outline: inset, so that nothing but the roof reaches its edge.
    foot = circle(tank.centre - canvas.climate.lean * tank.height, radius - 1.2)
    canvas.polygon(sweep(foot, canvas.climate.lean * tank.height), shade(paint, 0.62), grain=8)
    window = canvas.window(tank.centre, radius + 1)
    if window is None:
        return
    cover = np.clip(radius - window.distance + 0.5, 0, 1)
    if style.roof == "floating":
        light, shadow = _floating(canvas, tank, style, window, paint, rng)
    else:
        sun = -canvas.climate.shadow_direction
        towards_sun = (window.dx * sun[0] + window.dy * sun[1]) / radius
        light, shadow = _fixed(style, towards_sun, window.distance / radius, paint, rng), np.zeros_like(cover)
    light = _weather(light, window, radius, style, rng)
    canvas.blend(window, cover, light, 14 if style.roof == "floating" else 8, shadow)
    _fittings(canvas, tank, style, rng)


def _fixed(style: TankStyle, towards_sun: Array, reach: Array, paint: Colour, rng: np.random.Generator) -> Array:
    """Cone: the sunny half evenly lighter. Dome: lighter the further out, with a glint."""
    if style.roof == "cone":
        relief = style.slope * towards_sun / np.maximum(reach, 0.35)
    else:
        relief = style.slope * (1.4 * towards_sun - 0.25 * reach**2)
        relief = relief + 0.35 * np.exp(-((towards_sun - 0.45) ** 2 + reach**2 - towards_sun**2) / 0.035)
    relief = relief - 0.12 * np.clip((reach - 0.9) * 10, 0, 1) * rng.integers(0, 2)
    return np.asarray(np.asarray(paint) * (1 + relief)[..., None])


def _floating(
    canvas: Canvas, tank: Tank, style: TankStyle, window: Window, paint: Colour, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Deck below a bright rim; the rim's shadow leaves a crescent of it dark, on the side of the sun."""
    inner = tank.diameter / 2 - min(1.0 + 0.02 * tank.diameter, 0.2 * tank.diameter)
    inside = np.clip(inner - window.distance + 0.5, 0, 1)
    fall = canvas.climate.shadow * tank.height * style.depth * rng.uniform(0.8, 1.2)
    lit = np.clip(inner - np.hypot(window.dx - fall[0], window.dy - fall[1]) + 0.5, 0, 1)
    deck = np.broadcast_to(np.asarray(tint(style.deck, rng, 5)), (*inside.shape, 3))
    pontoon = inner * rng.uniform(0.72, 0.86)
    ring = np.clip(1 - np.abs(window.distance - pontoon) / max(0.8, 0.03 * inner), 0, 1) * rng.uniform(-0.2, 0.25)
    rim = np.asarray(shade(paint, 1.1))
    light = deck * (1 + ring)[..., None] * inside[..., None] + rim * (1 - inside)[..., None]
    return light, inside * (1 - lit)


def _weather(light: Array, window: Window, radius: float, style: TankStyle, rng: np.random.Generator) -> Array:
    """Stains, and plates of slightly different age on large roofs."""
    stain = np.zeros_like(window.distance)
    for _ in range(rng.poisson(1.5 if style.roof == "floating" else 0.5)):
        x, y = unit(rng.uniform(0, 2 * np.pi)) * radius * rng.uniform(0, 0.8)
        wide = radius * rng.uniform(0.08, 0.4)
        stain += rng.uniform(-0.22, 0.08) * np.exp(-((window.dx - x) ** 2 + (window.dy - y) ** 2) / (2 * wide**2))
    if radius > 12:
        sectors, turn = rng.integers(8, 20), rng.uniform(0, 2 * np.pi)
        seam = np.cos(sectors * (np.arctan2(window.dy, window.dx) + turn)) ** 16 * (window.distance > 0.15 * radius)
        stain = stain - rng.uniform(0, 0.07) * seam
    return light * (1 + stain)[..., None]


def _fittings(canvas: Canvas, tank: Tank, style: TankStyle, rng: np.random.Generator) -> None:
    """Ladder, centre vent, stairs: what a pixel or two still shows. All of it stays within the roof."""
    radius = tank.diameter / 2
    if radius < 7:
        return
    turn = unit(rng.uniform(0, 2 * np.pi))
    dark = shade(style.paint, 0.55)
    if style.roof == "floating":
        ladder = tank.centre + np.outer([radius - 1.5, radius * rng.uniform(0.05, 0.4)], turn)
        canvas.line(ladder, shade(style.deck, 0.6))
    elif rng.random() < 0.6:
        canvas.line(tank.centre + np.outer([radius - 1.5, radius * rng.uniform(0.5, 0.9)], turn), dark)
    if rng.random() < 0.5:
        canvas.polygon(circle(tank.centre, max(0.7, radius * 0.06)), dark, grain=8)


def draw_site(canvas: Canvas, terminal: Terminal, rng: np.random.Generator) -> None:
    """Paint the fenced ground that the terminal's lots lie on."""
    if not terminal.cells:
        return
    margin = terminal.road + rng.uniform(2, 14)
    corners = np.concatenate([cell.outline(margin=margin) for cell in terminal.cells]).astype(np.float32)
    fence = cv2.convexHull(corners)[:, 0].astype(np.float64)
    ground = _site_colour(canvas, rng)
    canvas.polygon(fence, ground, grain=80)
    for cell in terminal.cells:
        for _ in range(rng.poisson(1.5)):
            place = cell.centre + rng.normal(0, 0.6, 2) * (cell.width + cell.height) / 2
            canvas.polygon(wobbly_circle(place, rng.uniform(3, 20), 0.4, rng), tint(ground, rng, 6), grain=90)
    canvas.line(fence, shade(ground, 0.7), 2, closed=True)
    canvas.line(fence, shade(ground, 1.15), closed=True)


def _site_colour(canvas: Canvas, rng: np.random.Generator) -> Colour:
    palette = canvas.climate.palette
    if rng.random() < 0.3:
        return tint(palette.ground, rng, 8)
    return shade(tint(palette.yards[rng.integers(len(palette.yards))], rng, 10), 1.12)


def draw_terminal(canvas: Canvas, terminal: Terminal, rng: np.random.Generator) -> None:
    """Paint a terminal's lots, then its tanks, shadows before anything that stands in them."""
    road = tint((126, 122, 116), rng, 8) if rng.random() < 0.7 else _site_colour(canvas, rng)
    floor, walled = _site_colour(canvas, rng), rng.random() < 0.5
    for cell in terminal.cells:
        if rng.random() < 0.8:
            canvas.line(cell.outline(margin=terminal.road / 2), road, terminal.road * 0.6, grain=30, closed=True)
    for cell in terminal.cells:
        canvas.polygon(cell.outline(), tint(floor, rng, 7), grain=85)
        _draw_stains(canvas, cell, floor, rng)
        if cell.kind == "tanks":
            _draw_bund(canvas, cell, floor, walled, rng)
    for cell in terminal.cells:
        if cell.kind != "tanks":
            {"process": _process, "buildings": _buildings, "yard": _yard, "empty": _empty}[cell.kind](canvas, cell, rng)
    for cell in terminal.cells:
        _draw_pipes(canvas, cell, terminal, rng)
    for tank in (tank for cell in terminal.cells for tank in cell.tanks):
        cast_tank_shadow(canvas, tank)
    for cell in terminal.cells:
        if cell.tanks:
            styles = [draw_style(cell.tanks[0].diameter, rng) for _ in range(1 + int(rng.random() < 0.3))]
            for tank in cell.tanks:
                draw_tank(canvas, tank, styles[rng.integers(len(styles))], rng)


def _draw_stains(canvas: Canvas, cell: Cell, floor: Colour, rng: np.random.Generator) -> None:
    widest = 0.12 * min(cell.width, cell.height) + 2
    for _ in range(rng.poisson(0.4 + cell.width * cell.height / 2500)):
        stain = wobbly_circle(_within(cell, rng, 0.75), rng.uniform(1.5, widest), 0.35, rng)
        canvas.polygon(stain, shade(tint(floor, rng, 6), rng.uniform(0.78, 1.08)), grain=80)


def _draw_bund(canvas: Canvas, cell: Cell, floor: Colour, walled: bool, rng: np.random.Generator) -> None:
    outline = cell.outline(margin=-1.0)
    sides = np.stack([outline, np.roll(outline, -1, axis=0)], axis=1)
    if walled:  # a concrete wall: a light line, its shadow beside it
        for side in sides:
            canvas.line(side + canvas.climate.shadow_direction * 1.4, shade(floor, 0.6))
            canvas.line(side, tint((196, 192, 182), rng, 4))
        return
    middle = cell.centre
    for side in sides:  # an earthen dike: the slope that faces the sun is light, the other dark
        outward = side.mean(axis=0) - middle
        facing = -float(outward @ canvas.climate.shadow_direction) / float(np.linalg.norm(outward))
        canvas.line(side, shade(floor, 1 + 0.28 * facing), 2)
        canvas.line(side - outward / np.linalg.norm(outward) * 2.5, shade(floor, 1 - 0.3 * facing), 2)


def _draw_pipes(canvas: Canvas, cell: Cell, terminal: Terminal, rng: np.random.Generator) -> None:
    across, along = unit(cell.angle), unit(cell.angle + np.pi / 2)
    pipe = tint((182, 178, 168), rng, 8)
    side = 1.0 if rng.random() < 0.5 else -1.0
    edge = cell.centre + side * along * (cell.height / 2 + terminal.road * 0.3)
    if rng.random() < 0.7:
        for k in range(int(rng.integers(1, 4))):
            line = edge + np.outer([-0.5, 0.5], across) * cell.width + along * (k * 1.6 - 1.6)
            canvas.line(line, pipe if k % 2 == 0 else shade(pipe, 0.62))
    for tank in cell.tanks:
        if tank.diameter > 9:
            reach = float((edge - tank.centre) @ along)
            canvas.line(np.array([tank.centre, tank.centre + along * reach]), pipe)
        if tank.diameter > 12 and rng.random() < 0.7:  # valves and a pump beside the tank
            beside = tank.centre + unit(rng.uniform(0, 2 * np.pi)) * (tank.diameter / 2 + rng.uniform(1.5, 4))
            size = rng.uniform(1, 3, 2)
            canvas.block(rectangle(beside, size[0], size[1], cell.angle), 2.0, tint((190, 186, 176), rng, 12))
    for _ in range(rng.poisson(0.02 * cell.width)):  # sheds, poles and cars along the roads
        u = rng.uniform(-0.5, 0.5) * cell.width
        place = cell.centre + u * across - side * along * (cell.height / 2 + terminal.road * rng.uniform(0.2, 0.7))
        size, grey = rng.uniform(1.2, 4, 2), float(rng.choice([60, 100, 140, 190]))
        thing = rectangle(place, size[0], size[1], cell.angle)
        canvas.block(thing, rng.uniform(1, 5), tint((grey, grey, grey), rng, 8))


def _within(cell: Cell, rng: np.random.Generator, inset: float = 0.85) -> Array:
    u, v = rng.uniform(-0.5, 0.5, 2) * inset
    return np.asarray(cell.centre + u * cell.width * unit(cell.angle) + v * cell.height * unit(cell.angle + np.pi / 2))


def _process(canvas: Canvas, cell: Cell, rng: np.random.Generator) -> None:
    """A process unit: racks of pipes and a clutter of small steel things with their shadows."""
    for _ in range(int(cell.width * cell.height / 70)):
        length, width = np.exp(rng.uniform(np.log(2), np.log(22))), rng.uniform(1.2, 3.5)
        turn = cell.angle + (np.pi / 2 if rng.random() < 0.5 else 0.0)
        grey = float(rng.choice([60, 90, 120, 150, 190]))
        steel = tint((grey, grey * 0.98, grey * 0.95), rng, 8)
        canvas.block(rectangle(_within(cell, rng), float(length), width, turn), rng.uniform(1, 12), steel)
    for _ in range(int(cell.width * cell.height / 900)):
        column = circle(_within(cell, rng), rng.uniform(0.7, 1.4))
        canvas.block(column, rng.uniform(10, 40), (200, 198, 192))


def _buildings(canvas: Canvas, cell: Cell, rng: np.random.Generator) -> None:
    rows = max(1, int(cell.height / rng.uniform(24, 50)))
    for row in range(rows):
        offset = ((row + 0.5) / rows - 0.5) * cell.height
        middle = cell.centre + offset * unit(cell.angle + np.pi / 2)
        width, depth = cell.width * rng.uniform(0.4, 0.9), cell.height / rows * rng.uniform(0.35, 0.75)
        draw_building(canvas, middle, width, depth, cell.angle, rng.uniform(4, 10), roof_colour(canvas, rng), rng)


def _yard(canvas: Canvas, cell: Cell, rng: np.random.Generator) -> None:
    """Lorries, wagons or containers in rows."""
    paints: tuple[Colour, ...] = ((196, 194, 188), (150, 70, 60), (70, 90, 130), (120, 116, 110), (170, 130, 80))
    step_x, step_y = rng.uniform(9, 14), rng.uniform(3.2, 5)
    for u in np.arange(-cell.width / 2 + 6, cell.width / 2 - 5, step_x):
        for v in np.arange(-cell.height / 2 + 4, cell.height / 2 - 3, step_y):
            if rng.random() < 0.6:
                place = cell.centre + u * unit(cell.angle) + v * unit(cell.angle + np.pi / 2)
                paint = tint(paints[rng.integers(len(paints))], rng, 8)
                canvas.block(rectangle(place, step_x * 0.8, 2.2, cell.angle), 3.0, paint)


def _empty(canvas: Canvas, cell: Cell, rng: np.random.Generator) -> None:
    """An empty lot: worn ground and spoil."""
    ground = canvas.climate.palette.ground
    for _ in range(rng.poisson(4)):
        patch = rectangle(_within(cell, rng, 0.5), rng.uniform(5, 26), rng.uniform(5, 26), cell.angle)
        canvas.polygon(patch, tint(ground, rng, 14), grain=100)
