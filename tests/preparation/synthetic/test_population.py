import csv
from ast import literal_eval

import numpy as np
import pytest

from oil_storage.preparation.synthetic.population import REFERENCE_AREA
from oil_storage.preparation.synthetic.rendering import plan_scene

SIZE = 1280
QUARTILES = (12, 18, 31)  # px, of the real set
REAL_TANKS, REAL_SCENES = 10339, 78
TOLERANCE = 0.15


def sides(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


@pytest.fixture(scope="module", params=[0, 1, 7])
def plans(request):
    return [plan_scene(request.param, index, SIZE) for index in range(24)]


def test_sizes_are_those_of_the_real_set(plans):
    found = sides(np.array([box for plan in plans for box in plan.boxes()], float))
    assert np.percentile(found, [25, 50, 75]) == pytest.approx(QUARTILES, rel=TOLERANCE)
    assert found.min() >= 4
    assert found.max() <= 110


def test_tanks_per_area_are_those_of_the_real_set(plans):
    counts = np.array([len(plan.tanks) for plan in plans])
    assert counts.mean() / SIZE**2 == pytest.approx(REAL_TANKS / REAL_SCENES / REFERENCE_AREA, rel=TOLERANCE)


def test_density_varies_between_scenes_as_in_the_real_set(plans):
    per_scene = np.array([len(plan.tanks) for plan in plans]) * REFERENCE_AREA / SIZE**2
    assert per_scene.min() < 35
    assert per_scene.max() > 300
    assert per_scene.max() < 600


def test_density_does_not_depend_on_the_size_of_scenes():
    small = sum(len(plan_scene(3, index, 640).tanks) for index in range(40)) / (40 * 640**2)
    assert small == pytest.approx(REAL_TANKS / REAL_SCENES / REFERENCE_AREA, rel=TOLERANCE)


def test_the_numbers_above_are_the_real_set_s(plans, airbus):
    with (airbus / "annotations.csv").open() as file:
        rows = list(csv.DictReader(file))
    boxes = np.array([literal_eval(row["bounds"]) for row in rows], float)
    boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    real = np.percentile(sides(boxes), [25, 50, 75])
    assert real == pytest.approx(QUARTILES, rel=TOLERANCE)
    found = sides(np.array([box for plan in plans for box in plan.boxes()], float))
    assert np.percentile(found, [25, 50, 75]) == pytest.approx(real, rel=TOLERANCE)
    assert (len(rows), len({row["image_id"] for row in rows})) == (REAL_TANKS, REAL_SCENES)
