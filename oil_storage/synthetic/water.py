"""Sea, harbour basins and rivers."""

import cv2
import numpy as np

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import tint
from oil_storage.synthetic.geometry import Array, Field, circle, rectangle, smooth_noise, unit

_MAP = 8  # px of the scene per cell of the map of heights


def plan_water(size: int, rng: np.random.Generator) -> Field | None:
    """Distance inland from the shore ``(size / 8, size / 8)`` in map cells, negative on water; None for dry scenes."""
    kind = rng.choice(["dry", "sea", "harbour", "river"], p=(0.45, 0.25, 0.18, 0.12))
    if kind == "dry":
        return None
    side = -(-size // _MAP)
    x, y = np.meshgrid(np.arange(side) + 0.5 - side / 2, np.arange(side) + 0.5 - side / 2)
    direction = unit(rng.uniform(0, 2 * np.pi))
    inland = x * direction[0] + y * direction[1]
    along = y * direction[0] - x * direction[1]
    stray = smooth_noise(side, max(8.0, side / 4), rng) * (side / 16) + smooth_noise(side, 9, rng) * 1.2
    if kind == "sea":
        return np.asarray(inland + stray + side * rng.uniform(0.15, 0.42), np.float32)
    if kind == "river":
        course = inland + 1.8 * stray - side * rng.uniform(-0.35, 0.35)
        return np.asarray(np.abs(course) - rng.uniform(2, 9), np.float32)
    # Straight quays with basins at right angles to them; the distance to the nearest side keeps their edges sharp.
    period, width = rng.uniform(40, 120), rng.uniform(8, 26)
    reach = side * rng.uniform(0.02, 0.2)
    front = inland + side * rng.uniform(0.2, 0.42)
    across = np.abs((along / period + rng.random()) % 1.0 - 0.5) * period - width / 2
    return np.asarray(np.minimum(front, np.maximum(across, front - reach)), np.float32)


def draw_water(canvas: Canvas, inland: Field, rng: np.random.Generator) -> None:
    """Paint the water over the land: shallows, swell, a beach or quay, jetties with ships."""
    size, palette = canvas.size, canvas.climate.palette
    distance = cv2.resize(inland, (size, size), interpolation=cv2.INTER_LINEAR) * np.float32(_MAP)
    wet = np.clip(0.5 - distance, 0, 1)
    deep = tint(palette.water[rng.integers(len(palette.water))], rng, 9)
    shallow = np.exp(np.minimum(distance, 0) / np.float32(rng.uniform(8, 90))) * np.float32(rng.uniform(0.0, 0.5))
    shallow += np.float32(rng.uniform(0, 0.06)) * smooth_noise(size, max(60.0, size / 6), rng)
    beach, width = tint(palette.yards[-1], rng), rng.uniform(1, 8)
    shore = np.clip(width - distance, 0, 1) * np.float32(0.8)
    for channel in range(3):
        band = canvas.albedo[..., channel]
        land = band + shore * (np.float32(beach[channel]) - band)
        sea = deep[channel] + shallow * np.float32(0.9 * palette.ground[channel] - deep[channel])
        band[:] = np.clip(land + wet * (sea - land), 0, 255)
    swell = rng.integers(6, 30)
    for layer, value in ((canvas.grain, swell), (canvas.bump, 0), (canvas.shadow, 0)):
        layer[:] = layer + wet * (np.float32(value) - layer)
    for _ in range(rng.poisson(2.0 * size / 1280)):
        _draw_jetty(canvas, inland, rng)


def _draw_jetty(canvas: Canvas, inland: Field, rng: np.random.Generator) -> None:
    """A trestle from the shore to a pier head in deep water, and often a ship beside it."""
    rows, columns = np.nonzero(np.abs(inland) < 1.0)
    if not len(rows):
        return
    k = int(rng.integers(len(rows)))
    start = np.array([columns[k], rows[k]]) * float(_MAP)
    slope_y, slope_x = (g[rows[k], columns[k]] for g in np.gradient(inland))
    turn = float(np.arctan2(-slope_y, -slope_x))
    length = rng.uniform(40, 220)
    head = start + unit(turn) * length
    column, row = (head / _MAP).astype(int)
    if not (0 <= row < len(inland) and 0 <= column < len(inland)) or inland[row, column] > -2:
        return
    grey = tint((168, 164, 156), rng)
    canvas.line(np.array([start - unit(turn) * 6, head]), grey, rng.uniform(1, 4))
    pier = rng.uniform(20, 90)
    canvas.block(rectangle(head, 6, pier, turn), 4, grey)
    if rng.random() < 0.6:
        _draw_ship(canvas, head + unit(turn) * rng.uniform(12, 18), turn + np.pi / 2, pier * rng.uniform(0.9, 1.8), rng)


def _draw_ship(canvas: Canvas, centre: Array, turn: float, length: float, rng: np.random.Generator) -> None:
    beam = length / rng.uniform(5.5, 7.5)
    hull = np.array([[-0.5, -0.45], [0.38, -0.5], [0.5, 0.0], [0.38, 0.5], [-0.5, 0.45]]) * (length, beam)
    axes = np.stack([unit(turn), unit(turn + np.pi / 2)])
    deck = tint(((150, 70, 58), (96, 104, 100), (120, 116, 112))[rng.integers(3)], rng, 8)
    canvas.block(centre + hull @ axes, 6, deck)
    canvas.block(rectangle(centre - unit(turn) * length * 0.4, length * 0.1, beam * 0.8, turn), 14, (226, 224, 218))
    canvas.line(centre + np.outer([-0.3, 0.42], unit(turn)) * length, (190, 186, 178))
    for t in np.arange(-0.25, 0.4, 0.1):
        canvas.polygon(circle(centre + unit(turn) * t * length, 0.8), (180, 176, 168))
