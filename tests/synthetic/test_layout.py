import csv
from ast import literal_eval

import numpy as np
import pytest

from oil_storage.synthetic.layout import REFERENCE_AREA, tank_diameters
from oil_storage.synthetic.rendering import ScenePlan, plan_scene

QUARTILES = (12, 18, 31)  # px, of the real set
REAL_TANKS, REAL_SCENES = 10339, 78
TOLERANCE = 0.15


def sides(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def plan(scenes: int, size: int, seed: int) -> list[ScenePlan]:
    return [plan_scene(seed, index, size) for index in range(scenes)]


# Few small scenes hold some ninety tanks in all.
@pytest.fixture(scope="module", params=[(12, 640, 0), (24, 1280, 0), (8, 2560, 3)], ids=str)
def plans(request):
    return plan(*request.param)


def test_box_sides_match_the_airbus_data_set(plans):
    rendered = sides(np.array([tank.box(plan.size) for plan in plans for tank in plan.tanks], float))
    assert np.percentile(rendered, [25, 50, 75]) == pytest.approx(QUARTILES, rel=TOLERANCE)
    assert rendered.min() >= 4
    assert rendered.max() <= 110


def test_tank_density_matches_the_airbus_data_set(plans):
    counts = np.array([len(plan.tanks) for plan in plans])
    assert counts.mean() / plans[0].size ** 2 == pytest.approx(REAL_TANKS / REAL_SCENES / REFERENCE_AREA, rel=TOLERANCE)


@pytest.mark.parametrize("seed", range(3))
def test_diameters_match_the_table_for_any_number_of_scenes(seed):
    rng, diameters = np.random.default_rng(seed), np.empty(0)
    for index in range(60):
        diameters = np.concatenate([diameters, 1 + tank_diameters(seed, index, 1280, rng)])
        if index >= 5:
            assert np.percentile(diameters, [25, 50, 75]) == pytest.approx(QUARTILES, rel=TOLERANCE)


def test_scenes_are_biased_towards_small_or_large_tanks():
    medians = [np.median([tank.diameter for tank in plan.tanks]) for plan in plan(24, 1280, 0) if len(plan.tanks) > 12]
    assert max(medians) > 1.5 * min(medians)


def test_density_varies_between_scenes_as_in_the_airbus_data_set():
    per_scene = np.array([len(plan.tanks) for plan in plan(24, 1280, 1)]) * REFERENCE_AREA / 1280**2
    assert per_scene.min() < 35
    assert per_scene.max() > 300
    assert per_scene.max() < 600


def test_reference_numbers_match_the_airbus_data_set(plans, airbus):
    with (airbus / "annotations.csv").open() as file:
        rows = list(csv.DictReader(file))
    boxes = np.array([literal_eval(row["bounds"]) for row in rows], float)
    boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    real = np.percentile(sides(boxes), [25, 50, 75])
    assert real == pytest.approx(QUARTILES, rel=TOLERANCE)
    rendered = sides(np.array([tank.box(plan.size) for plan in plans for tank in plan.tanks], float))
    assert np.percentile(rendered, [25, 50, 75]) == pytest.approx(real, rel=TOLERANCE)
    assert (len(rows), len({row["image_id"] for row in rows})) == (REAL_TANKS, REAL_SCENES)
