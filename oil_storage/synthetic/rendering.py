"""Synthetic scenes, planned first, then painted, and data sets of them in the raw layout of the Airbus set."""

import csv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oil_storage.annotations.formats import check_is_free
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder
from oil_storage.parallel import in_processes
from oil_storage.scene import CLASS_NAME
from oil_storage.synthetic.canvas import Canvas, Climate, draw_climate, expose
from oil_storage.synthetic.distractors import Distractor, draw_distractor, draw_setting, plan_distractors
from oil_storage.synthetic.geometry import Field
from oil_storage.synthetic.land import draw_land, draw_water, plan_parcels, plan_water
from oil_storage.synthetic.layout import Occupancy, Tank, Terminal, plan_terminals, tank_diameters
from oil_storage.synthetic.terminals import draw_site, draw_terminal


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
        """Return the boxes (xmin, ymin, xmax, ymax) px, in the order of ``tanks``."""
        return [tank.box(self.size) for tank in self.tanks]


def _streams(seed: int, index: int) -> list[np.random.Generator]:
    """Make a stream for the plan and one for each later stage, so that no stage's draws move those of another."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(4)]


def plan_scene(seed: int, index: int, size: int) -> ScenePlan:
    """Plan scene ``index`` of the data set ``seed``; the same whatever other scenes are made."""
    rng = _streams(seed, index)[0]
    climate = draw_climate(rng)
    diameters = tank_diameters(seed, index, size, rng)
    taken = Occupancy(size)
    water = plan_water(size, rng)
    if water is not None:
        taken.take_where(water < 2)
    terminals = plan_terminals(diameters, taken, climate, rng)
    tanks = sum(len(cell.tanks) for terminal in terminals for cell in terminal.cells)
    return ScenePlan(size, climate, water, terminals, plan_distractors(tanks, taken, rng))


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


def make_synthetic(out: Path, scenes: int, size: int, seed: int) -> int:
    """Render scenes into ``out/images/<image_id>.jpg`` and their boxes into ``out/annotations.csv``.

    The folder appears when it is complete. Bytes depend on ``seed``, ``size`` and the index of a scene alone. Returns
    the number of boxes.

    Raises:
        UserError: an argument is out of range, ``out`` holds something already, or the memory does not suffice.
    """
    limits = (("scenes", scenes, 1, 99_999), ("size", size, 256, 8192), ("seed", seed, 0, 2**32 - 1))
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise UserError(f"--{name} {value}: must be {least} to {most}")
    check_is_free(out)
    with atomic_folder(out) as folder:
        (folder / "images").mkdir()
        write = partial(_write_scene, seed=seed, size=size, folder=folder / "images")
        rows = [row for of_scene in in_processes(write, range(scenes), "rendering", "scene") for row in of_scene]
        with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("image_id", "class", "bounds"), *rows])
    return len(rows)


def _write_scene(index: int, seed: int, size: int, folder: Path) -> list[tuple[str, str, str]]:
    image, boxes = render_scene(seed, index, size)
    image_id = f"synthetic-{seed}-{index:05d}"
    Image.fromarray(image).save(folder / f"{image_id}.jpg", quality=95, subsampling=0)
    return [(image_id, CLASS_NAME, str(box)) for box in boxes]
