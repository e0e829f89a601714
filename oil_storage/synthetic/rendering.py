"""One synthetic scene: planned first, then painted."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.synthetic.canvas import Canvas
from oil_storage.synthetic.climate import Climate, draw_climate
from oil_storage.synthetic.distractors import Distractor, draw_distractor, draw_setting, plan_distractors
from oil_storage.synthetic.farms import draw_site, draw_terminal
from oil_storage.synthetic.geometry import Field
from oil_storage.synthetic.ground import draw_land
from oil_storage.synthetic.occupancy import Occupancy
from oil_storage.synthetic.parcels import plan_parcels
from oil_storage.synthetic.population import tank_diameters
from oil_storage.synthetic.sensor import expose
from oil_storage.synthetic.terminals import Tank, Terminal, plan_terminals
from oil_storage.synthetic.water import draw_water, plan_water


@dataclass(frozen=True)
class ScenePlan:
    """Where everything that matters stands in a scene of ``size`` x ``size`` px."""

    size: int
    climate: Climate
    water: Field | None
    terminals: list[Terminal]
    distractors: list[Distractor]

    @property
    def tanks(self) -> list[Tank]:
        """All tanks of the scene."""
        return [tank for terminal in self.terminals for cell in terminal.cells for tank in cell.tanks]

    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Boxes (xmin, ymin, xmax, ymax) px, in the order of ``tanks``."""
        return [tank.box(self.size) for tank in self.tanks]


def _streams(seed: int, index: int) -> list[np.random.Generator]:
    # One stream for the plan, one for each later stage: what one stage draws does not move the others.
    return [np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(4)]


def plan_scene(seed: int, index: int, size: int) -> ScenePlan:
    """Plan scene ``index`` of the data set ``seed``; the same whatever other scenes are made.

    Args:
        seed: of the data set, >= 0.
        index: of the scene, >= 0.
        size: side in px, >= 256.

    Returns:
        ScenePlan: climate, water, tanks and round distractors.
    """
    rng = _streams(seed, index)[0]
    climate = draw_climate(rng)
    diameters = tank_diameters(seed, index, size, rng)
    taken = Occupancy(size)
    water = plan_water(size, rng)
    if water is not None:
        taken.take_where(water < 2)
    terminals = plan_terminals(diameters, taken, climate, rng)
    tanks = sum(len(cell.tanks) for terminal in terminals for cell in terminal.cells)
    return ScenePlan(size, climate, water, terminals, plan_distractors(tanks, taken, climate, rng))


def render_scene(seed: int, index: int, size: int) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """Render scene ``index`` of the data set ``seed``.

    Returns:
        The image ``(size, size, 3)`` RGB uint8 and the boxes (xmin, ymin, xmax, ymax) px of its tanks.
    """
    cv2.setNumThreads(1)
    plan = plan_scene(seed, index, size)
    _, ground, things, sensor = _streams(seed, index)
    canvas = Canvas(size, plan.climate)
    circles = [thing for thing in plan.distractors if thing.kind == "irrigation"]
    distractors = [thing for thing in plan.distractors if thing.kind != "irrigation"]
    draw_land(canvas, plan_parcels(size, plan.climate.palette.uses, ground), circles, ground)
    for thing in distractors:
        draw_setting(canvas, thing, things)
    for terminal in plan.terminals:
        draw_site(canvas, terminal, things)
    if plan.water is not None:
        draw_water(canvas, plan.water, ground)
    for thing in distractors:
        draw_distractor(canvas, thing, things)
    for terminal in plan.terminals:
        draw_terminal(canvas, terminal, things)
    return expose(canvas, sensor), plan.boxes()
