"""Streets, houses, gardens, and lots of halls."""

import numpy as np

from oil_storage.synthetic.buildings import draw_building, roof_colour
from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import shade, tint
from oil_storage.synthetic.geometry import Array, rectangle
from oil_storage.synthetic.parcels import Parcel
from oil_storage.synthetic.vegetation import draw_tree


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
                _draw_parked(canvas, parcel, offset, wide, deep, rng)
            elif kind < 0.85:
                canvas.polygon(rectangle(place, wide * 0.9, deep * 0.9, turn), canvas.climate.palette.ground, grain=90)
            x += wide + rng.uniform(4, 16)
        y += deep + rng.uniform(6, 14)


def _draw_parked(
    canvas: Canvas, parcel: Parcel, centre: Array, wide: float, deep: float, rng: np.random.Generator
) -> None:
    """Cars: two or three pixels each."""
    for row in np.arange(-deep / 2 + 4, deep / 2 - 3, 9.0):
        for column in np.arange(-wide / 2 + 2, wide / 2 - 1, 2.6):
            if rng.random() < 0.5:
                offset = centre + np.array([column, row])
                grey = float(rng.choice([60, 90, 130, 170, 200]))
                spot = rectangle(parcel.place(offset), 1.4, 3.4, parcel.axis(offset))
                canvas.polygon(spot, tint((grey, grey, grey), rng, 8), grain=8)
