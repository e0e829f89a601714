"""The land between terminals."""

import numpy as np

from oil_storage.preparation.synthetic.canvas import Canvas
from oil_storage.preparation.synthetic.climate import tint
from oil_storage.preparation.synthetic.parcels import Parcel
from oil_storage.preparation.synthetic.roads import draw_roads
from oil_storage.preparation.synthetic.towns import draw_town
from oil_storage.preparation.synthetic.vegetation import draw_bare, draw_field, draw_forest, draw_scrub

# In the order of Palette.uses.
_USES = (draw_field, draw_forest, draw_town, draw_scrub, draw_bare)


def draw_land(canvas: Canvas, parcels: list[Parcel], rng: np.random.Generator) -> None:
    """Paint the parcels, low things first so that crowns and houses stand over their neighbours' ground, then roads."""
    canvas.albedo[:] = np.asarray(tint(canvas.climate.palette.ground, rng), np.uint8)
    canvas.grain[:] = 90
    for parcel in sorted(parcels, key=lambda parcel: (0, 4, 3, 2, 1)[parcel.use]):
        _USES[parcel.use](canvas, parcel, rng)
    draw_roads(canvas, rng)
