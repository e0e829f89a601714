"""What a tank looks like from above: roof, rim, fittings, wall and shadow."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import Colour, shade, tint
from oil_storage.synthetic.geometry import Array, circle, sweep, unit
from oil_storage.synthetic.terminals import Tank

_WHITE: Colour = (252, 250, 244)
# Paint of roofs with its weight; the real set is mostly white, then grey, then everything else.
_PAINTS: tuple[tuple[float, Colour], ...] = (
    (0.62, _WHITE), (0.15, (198, 196, 188)), (0.12, (160, 158, 152)), (0.08, (206, 192, 160)), (0.10, (96, 96, 98)),
    (0.05, (62, 62, 66)), (0.05, (150, 104, 78)), (0.03, (128, 146, 126)), (0.02, (168, 72, 62)),
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
    where, dx, dy = window
    distance = np.hypot(dx, dy)
    cover = np.clip(radius - distance + 0.5, 0, 1)
    sun = -canvas.climate.shadow_direction
    towards_sun = (dx * sun[0] + dy * sun[1]) / radius
    if style.roof == "floating":
        light, shadow = _floating(canvas, tank, style, dx, dy, distance, paint, rng)
    else:
        light, shadow = _fixed(style, towards_sun, distance / radius, paint, rng), np.zeros_like(cover)
    light = _weather(light, dx, dy, distance, radius, style, rng)
    canvas.blend(where, cover, light, 14 if style.roof == "floating" else 8, shadow)
    _fittings(canvas, tank, style, rng)


def _fixed(style: TankStyle, towards_sun: Array, reach: Array, paint: Colour, rng: np.random.Generator) -> Array:
    """Cone: the sunny half evenly lighter. Dome: lighter the further out, with a glint."""
    if style.roof == "cone":
        relief = style.slope * towards_sun / np.maximum(reach, 0.35)
    else:
        relief = style.slope * (1.4 * towards_sun - 0.25 * reach**2)
        relief = relief + 0.35 * np.exp(-((towards_sun - 0.45) ** 2 + reach**2 - towards_sun**2) / 0.035)
    relief = relief - 0.12 * np.clip((reach - 0.9) * 10, 0, 1) * rng.integers(0, 2)
    light: Array = np.asarray(paint) * (1 + relief)[..., None]
    return light


def _floating(
    canvas: Canvas,
    tank: Tank,
    style: TankStyle,
    dx: Array,
    dy: Array,
    distance: Array,
    paint: Colour,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Deck below a bright rim; the rim's shadow leaves a crescent of it dark, on the side of the sun."""
    inner = tank.diameter / 2 - min(1.0 + 0.02 * tank.diameter, 0.2 * tank.diameter)
    inside = np.clip(inner - distance + 0.5, 0, 1)
    fall = canvas.climate.shadow * tank.height * style.depth * rng.uniform(0.8, 1.2)
    lit = np.clip(inner - np.hypot(dx - fall[0], dy - fall[1]) + 0.5, 0, 1)
    deck = np.broadcast_to(np.asarray(tint(style.deck, rng, 5)), (*distance.shape, 3))
    pontoon = inner * rng.uniform(0.72, 0.86)
    ring = np.clip(1 - np.abs(distance - pontoon) / max(0.8, 0.03 * inner), 0, 1) * rng.uniform(-0.2, 0.25)
    rim = np.asarray(shade(paint, 1.1))
    light = deck * (1 + ring)[..., None] * inside[..., None] + rim * (1 - inside)[..., None]
    return light, inside * (1 - lit)


def _weather(
    light: Array, dx: Array, dy: Array, distance: Array, radius: float, style: TankStyle, rng: np.random.Generator
) -> Array:
    """Stains, and plates of slightly different age on large roofs."""
    stain = np.zeros_like(distance)
    for _ in range(rng.poisson(1.5 if style.roof == "floating" else 0.5)):
        x, y = unit(rng.uniform(0, 2 * np.pi)) * radius * rng.uniform(0, 0.8)
        wide = radius * rng.uniform(0.08, 0.4)
        stain += rng.uniform(-0.22, 0.08) * np.exp(-((dx - x) ** 2 + (dy - y) ** 2) / (2 * wide**2))
    if radius > 12:
        sectors, turn = rng.integers(8, 20), rng.uniform(0, 2 * np.pi)
        seam = np.cos(sectors * (np.arctan2(dy, dx) + turn)) ** 16 * (distance > 0.15 * radius)
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
        canvas.line(
            tank.centre + np.outer([radius - 1.5, radius * rng.uniform(0.05, 0.4)], turn), shade(style.deck, 0.6)
        )
    elif rng.random() < 0.6:
        canvas.line(tank.centre + np.outer([radius - 1.5, radius * rng.uniform(0.5, 0.9)], turn), dark)
    if rng.random() < 0.5:
        canvas.polygon(circle(tank.centre, max(0.7, radius * 0.06)), dark, grain=8)
