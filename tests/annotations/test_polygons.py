import numpy as np
import pytest

from oil_storage.annotations.polygons import transformed


@pytest.mark.parametrize("system", ["EPSG:27700", "EPSG:3035", "ESRI:54030"])
def test_a_point_outside_a_system_does_not_affect_the_others(system: str) -> None:
    good = transformed(np.array([(-2.0, 51.0), (-1.0, 52.0)]), "EPSG:4326", system)
    far = np.vstack([good[:1], [(1e12, 1e12)], good[1:]])
    moved = transformed(far, system, "EPSG:4326")
    assert moved[[0, 2]] == pytest.approx(np.array([(-2.0, 51.0), (-1.0, 52.0)]), abs=1e-3)
    assert np.isinf(moved[1]).all()
