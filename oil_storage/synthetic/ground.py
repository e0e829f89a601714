"""The land between terminals."""

from dataclasses import replace

import numpy as np

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import tint
from oil_storage.synthetic.distractors import Distractor, draw_distractor
from oil_storage.synthetic.parcels import Parcel
from oil_storage.synthetic.roads import draw_roads
from oil_storage.synthetic.towns import draw_town
from oil_storage.synthetic.vegetation import draw_bare, draw_field, draw_forest, draw_scrub

# In the order of Palette.uses.
_USES = (draw_field, draw_forest, draw_town, draw_scrub, draw_bare)


def draw_land(canvas: Canvas, parcels: list[Parcel], circles: list[Distractor], rng: np.random.Generator) -> None:
    """Paint the parcels, low things first so that crowns and houses stand over their neighbours' ground, then roads.

    Args:
        canvas: to paint on.
        parcels: of the land; those that an irrigation circle reaches are farmed.
        circles: of irrigation.
        rng: of the land.
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
