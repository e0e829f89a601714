import numpy as np
import pytest

from oil_storage.georeference import Georeference
from oil_storage.inference.scene_detector import SceneDetections
from oil_storage.inference.sites import APART, measure


def found(centres: list[tuple[float, float]], side: float, place: Georeference | None) -> SceneDetections:
    middle = np.array(centres, np.float32).reshape(-1, 2)
    boxes = np.hstack([middle - side / 2, middle + side / 2])
    return SceneDetections("a.tif", 3000, 3000, boxes, np.full(len(boxes), 0.9, np.float32), place)


def utm(gsd: float) -> Georeference:
    return Georeference("EPSG:32631", (gsd, 0.0, 500_000.0, 0.0, -gsd, 5_700_000.0))


def test_a_chain_of_near_tanks_is_one_site_and_the_largest_comes_first() -> None:
    step = 0.9 * (APART + 40) / 2  # px of 2 m
    chain = [(2000 + step * index, 2500.0) for index in range(4)]
    measures = measure(found([(10, 10), *chain, (12, 40)], 20, utm(2.0)))
    assert measures.sites.tolist() == [2, 1, 1, 1, 1, 2]
    assert measures.unit == "m"
    assert measures.gsd == pytest.approx(2, abs=0.01)
    assert measures.diameters == pytest.approx(40, abs=0.1)


def test_far_tanks_are_sites_of_their_own() -> None:
    apart = 1.1 * (APART + 40) / 2
    assert measure(found([(10, 10), (10 + apart, 10)], 20, utm(2.0))).sites.tolist() == [1, 2]


def test_without_a_place_lengths_are_pixels() -> None:
    measures = measure(found([(10, 10), (60, 10)], 20, None))
    assert (measures.gsd, measures.unit, measures.diameters.tolist()) == (None, "px", [20, 20])
    assert measures.sites.tolist() == [1, 1]


def test_no_tank_is_no_site() -> None:
    measures = measure(found([], 20, utm(2.0)))
    assert (len(measures.sites), len(measures.diameters)) == (0, 0)
