"""Plan and render synthetic scenes; write data sets in the layout of the Airbus data set."""

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
from oil_storage.synthetic.canvas import METRES_PER_PIXEL, Canvas, Climate, draw_climate, expose
from oil_storage.synthetic.distractors import Distractor, draw_distractor, draw_setting, plan_distractors
from oil_storage.synthetic.geometry import Field
from oil_storage.synthetic.land import draw_land, draw_water, plan_parcels, plan_water
from oil_storage.synthetic.layout import Occupancy, Tank, Terminal, plan_terminals, tank_diameters
from oil_storage.synthetic.terminals import draw_site, draw_terminal

GROUND = (250.0, 10_000.0)
"""Shortest and longest side of the ground that a scene shows, in metres."""


@dataclass(frozen=True)
class ScenePlan:
    """Plan of a scene of ``size`` x ``size`` px: climate, water, and all tanks and distractors."""

    size: int
    climate: Climate
    water: Field | None
    terminals: list[Terminal]
    distractors: list[Distractor]

    @property
    def tanks(self) -> list[Tank]:
        """All tanks of the scene."""
        return [tank for terminal in self.terminals for cell in terminal.cells for tank in cell.tanks]


def _streams(seed: int, index: int) -> list[np.random.Generator]:
    """Return four independent random generators for a scene: for its plan, ground, objects and sensor."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(4)]


def plan_scene(seed: int, index: int, size: int) -> ScenePlan:
    """Plan scene ``index`` of the data set with seed ``seed``; it has ``size`` x ``size`` pixels of 1.2 m."""
    rng = _streams(seed, index)[0]
    climate = draw_climate(rng)
    diameters = tank_diameters(seed, index, size, rng)
    taken = Occupancy(size)
    water = plan_water(size, rng)
    if water is not None:
        taken.take_where(water < 2)
    terminals = plan_terminals(diameters, taken, climate, rng)
    plan = ScenePlan(size, climate, water, terminals, [])
    plan.distractors.extend(plan_distractors(len(plan.tanks), taken, rng))
    return plan


def render_scene(
    seed: int, index: int, size: int, gsd: float = METRES_PER_PIXEL
) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """Plan and render a scene.

    Args:
        seed: seed of the data set.
        index: index of the scene.
        size: side of the image in pixels.
        gsd: ground resolution in metres per pixel.

    Returns:
        tuple: the image ``(size, size, 3)`` RGB uint8, and the boxes (xmin, ymin, xmax, ymax) of its tanks in pixels.
    """
    cv2.setNumThreads(1)
    ground_size = round(size * gsd / METRES_PER_PIXEL)
    plan = plan_scene(seed, index, ground_size)
    _, ground, things, sensor = _streams(seed, index)
    canvas = Canvas(ground_size, plan.climate, size)
    circles = [thing for thing in plan.distractors if thing.kind == "irrigation"]
    distractors = [thing for thing in plan.distractors if thing.kind != "irrigation"]
    draw_land(canvas, plan_parcels(ground_size, plan.climate.palette.uses, ground), circles, ground)
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
    return expose(canvas, sensor), [tank.box(size, canvas.zoom) for tank in plan.tanks]


def make_synthetic(out: Path, scenes: int, size: int, seed: int, gsd: float = METRES_PER_PIXEL) -> int:
    """Write scenes to ``out/images/<image_id>.jpg`` and boxes to ``out/annotations.csv``; return the number of boxes.

    The folder ``out`` appears only when it is complete. The bytes of a scene depend only on its index, ``seed``,
    ``size`` (pixels) and ``gsd`` (metres per pixel).

    Raises:
        UserError: an argument is out of range, ``out`` is not empty, or the memory is insufficient.
    """
    limits = (
        *(("scenes", scenes, 1, 99_999), ("size", size, 256, 8192), ("seed", seed, 0, 2**32 - 1)),
        ("gsd", gsd, GROUND[0] / size, GROUND[1] / size),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise UserError(f"--{name} {value}: must be from {least:.10g} to {most:.10g}")
    check_is_free(out)
    with atomic_folder(out) as folder:
        (folder / "images").mkdir()
        write = partial(_write_scene, seed=seed, size=size, gsd=gsd, folder=folder / "images")
        rows = [row for of_scene in in_processes(write, range(scenes), "rendering", "scene") for row in of_scene]
        with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("image_id", "class", "bounds"), *rows])
    return len(rows)


def _write_scene(index: int, seed: int, size: int, gsd: float, folder: Path) -> list[tuple[str, str, str]]:
    image, boxes = render_scene(seed, index, size, gsd)
    image_id = f"synthetic-{seed}-{index:05d}"
    Image.fromarray(image).save(folder / f"{image_id}.jpg", quality=95, subsampling=0)
    return [(image_id, CLASS_NAME, str(box)) for box in boxes]
