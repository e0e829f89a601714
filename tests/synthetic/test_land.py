import numpy as np
import pytest

from oil_storage.synthetic.canvas import Canvas, draw_climate
from oil_storage.synthetic.distractors import Distractor
from oil_storage.synthetic.land import draw_land, plan_parcels


@pytest.mark.parametrize("seed", range(3))
def test_parcels_around_irrigation_circles_become_fields(seed):
    rng = np.random.default_rng(seed)
    canvas = Canvas(768, draw_climate(rng))
    parcels = plan_parcels(768, (0.0, 0.0, 1.0, 0.0, 0.0), rng)
    draw_land(canvas, parcels, [Distractor("irrigation", np.array([384.0, 384.0]), 60.0)], rng)
    y, x = np.indices((768, 768)) + 0.5
    away = np.hypot(x - 384, y - 384)
    beside = canvas.shadow[(away > 62) & (away < 80)].mean()  # a hedge at most
    assert beside < 0.4 * canvas.shadow[away > 300].mean()
