from dataclasses import replace

import numpy as np
import pytest

from oil_storage.synthetic.canvas import PALETTES, Canvas, Climate, draw_climate
from oil_storage.synthetic.layout import Tank
from oil_storage.synthetic.terminals import TankStyle, cast_tank_shadow, draw_style, draw_tank

OVERHEAD = Climate(PALETTES["arid"], shadow=np.array([-0.6, -0.3]), lean=np.zeros(2))
WHITE = (240.0, 240.0, 240.0)
CONE = TankStyle("cone", WHITE, 0.1, WHITE, 0.0)
FLOATING = TankStyle("floating", WHITE, 0.0, (120.0, 120.0, 120.0), 0.6)


@pytest.mark.parametrize("diameter", [4.3, 5.0, 12.6, 30.2, 81.9])
@pytest.mark.parametrize("style", [CONE, FLOATING])
def test_the_box_matches_the_painted_roof(diameter, style):
    rng = np.random.default_rng(0)
    for _ in range(10):
        tank = Tank(64 + rng.uniform(-1, 1, 2), diameter, 10.0)
        canvas = Canvas(128, OVERHEAD)
        draw_tank(canvas, tank, style, rng)
        rows, columns = np.nonzero(canvas.albedo.sum(axis=2))
        xmin, ymin, xmax, ymax = tank.box(128)
        assert columns.min() >= xmin
        assert rows.min() >= ymin
        assert columns.max() < xmax
        assert rows.max() < ymax
        # A sliver of less than a pixel may be too faint to count.
        assert max(columns.min() - xmin, rows.min() - ymin, xmax - 1 - columns.max(), ymax - 1 - rows.max()) <= 1


def test_the_roof_covers_the_area_of_its_disc():
    tank = Tank(np.array([40.3, 39.6]), 33.0, 10.0)
    canvas = Canvas(80, OVERHEAD)
    draw_tank(canvas, tank, replace(CONE, slope=0.0, paint=(100.0, 100.0, 100.0)), np.random.default_rng(1))
    painted = canvas.albedo[..., 0] / np.median(canvas.albedo[36:44, 36:44, 0])
    assert painted.sum() == pytest.approx(np.pi * 16.5**2, rel=0.05)


def centre_of(weights: np.ndarray) -> np.ndarray:
    y, x = np.indices(weights.shape) + 0.5
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


@pytest.mark.parametrize("seed", range(6))
def test_shadows_point_away_from_the_sun_and_crescents_towards_it(seed):
    climate = draw_climate(np.random.default_rng(seed))
    tank = Tank(np.array([100.0, 100.0]), 60.0, 14.0)
    canvas = Canvas(200, climate)
    cast_tank_shadow(canvas, tank)
    base = tank.centre - climate.lean * tank.height
    away = centre_of(canvas.shadow.astype(float)) - base
    assert away @ climate.shadow_direction / np.linalg.norm(away) > 0.99
    canvas.shadow[:] = 0
    draw_tank(canvas, tank, FLOATING, np.random.default_rng(seed))
    assert canvas.shadow.any(), "no crescent"
    inside = centre_of(canvas.shadow.astype(float)) - tank.centre
    assert inside @ climate.shadow_direction / np.linalg.norm(inside) < -0.95


def test_a_low_sun_casts_longer_shadows():
    def area(reach: float) -> int:
        canvas = Canvas(200, replace(OVERHEAD, shadow=np.array([reach, 0.0])))
        cast_tank_shadow(canvas, Tank(np.array([80.0, 100.0]), 40.0, 12.0))
        return int((canvas.shadow > 127).sum())

    assert area(1.6) > area(0.4) + 40


def test_all_types_of_roofs_occur():
    rng = np.random.default_rng(0)
    styles = [draw_style(40, rng) for _ in range(300)]
    assert {style.roof for style in styles} == {"cone", "dome", "floating"}
    light = np.array([np.mean(style.paint) for style in styles])
    assert (light > 230).mean() > 0.25
    assert (light < 110).mean() > 0.05
    assert ((light > 120) & (light < 220)).mean() > 0.1
