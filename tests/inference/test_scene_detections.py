import numpy as np
import pytest

from oil_storage.georeference import Georeference
from oil_storage.inference.scene_detections import APART, SceneDetections


def tanks(centres: list[tuple[float, float]], side: float, georeference: Georeference | None) -> SceneDetections:
    middle = np.array(centres, np.float32).reshape(-1, 2)
    boxes = np.hstack([middle - side / 2, middle + side / 2])
    return SceneDetections("a.tif", 3000, 3000, boxes, np.full(len(boxes), 0.9, np.float32), georeference)


def utm(gsd: float) -> Georeference:
    return Georeference("EPSG:32631", (gsd, 0.0, 500_000.0, 0.0, -gsd, 5_700_000.0))


def test_chain_of_near_tanks_is_one_site_and_the_largest_site_is_the_first() -> None:
    step = 0.9 * (APART + 40) / 2  # px of 2 m
    chain = [(2000 + step * index, 2500.0) for index in range(4)]
    detections = tanks([(10, 10), *chain, (12, 40)], 20, utm(2.0))
    assert detections.sites.tolist() == [2, 1, 1, 1, 1, 2]
    assert detections.unit == "m"
    assert detections.gsd == pytest.approx(2, abs=0.01)
    assert detections.diameters == pytest.approx(40, abs=0.1)


def test_far_tanks_are_sites_of_their_own() -> None:
    apart = 1.1 * (APART + 40) / 2
    assert tanks([(10, 10), (10 + apart, 10)], 20, utm(2.0)).sites.tolist() == [1, 2]


def test_lengths_are_pixels_without_a_georeference() -> None:
    detections = tanks([(10, 10), (60, 10)], 20, None)
    assert (detections.gsd, detections.unit, detections.diameters.tolist()) == (None, "px", [20, 20])
    assert detections.sites.tolist() == [1, 1]


def test_scene_without_tanks_has_no_sites() -> None:
    detections = tanks([], 20, utm(2.0))
    assert (len(detections.sites), len(detections.diameters)) == (0, 0)
