import numpy as np
import pytest
from shapely.geometry import Polygon

from oil_storage.georeference import Georeference
from oil_storage.inference.scene_detections import APART, MadeBy, RunSummary, SceneDetections, SceneSummary, summarise
from tests.inference.test_scene_files import TURNED, two_tanks

MADE_BY = MadeBy(
    config="a",
    config_sha256="0",
    checkpoint_sha256="1",
    score_threshold=0.4,
    tile=640,
    overlap=128,
    scale=1,
    tta=False,
    bands=None,
    stretch=None,
    html=False,
    asked=(None, None, None, None),
)


def tanks(centres: list[tuple[float, float]], side: float, georeference: Georeference | None) -> SceneDetections:
    middle = np.array(centres, np.float32).reshape(-1, 2)
    boxes = np.hstack([middle - side / 2, middle + side / 2])
    return SceneDetections("a.tif", 3000, 3000, boxes, np.full(len(boxes), 0.9, np.float32), georeference)


def utm(gsd: float) -> Georeference:
    return Georeference("EPSG:32631", (gsd, 0.0, 500_000.0, 0.0, -gsd, 5_700_000.0))


def test_chain_of_neighbouring_tanks_is_one_site_and_the_largest_site_is_number_one() -> None:
    step = 0.9 * (APART + 40) / 2  # in pixels of 2 m
    chain = [(2000 + step * index, 2500.0) for index in range(4)]
    detections = tanks([(10, 10), *chain, (12, 40)], 20, utm(2.0))
    assert detections.sites.tolist() == [2, 1, 1, 1, 1, 2]
    assert detections.unit == "m"
    assert detections.gsd == pytest.approx(2, abs=0.01)
    assert detections.diameters == pytest.approx(40, abs=0.1)


def test_distant_tanks_belong_to_different_sites() -> None:
    apart = 1.1 * (APART + 40) / 2
    assert tanks([(10, 10), (10 + apart, 10)], 20, utm(2.0)).sites.tolist() == [1, 2]


def test_lengths_are_in_pixels_without_a_georeference() -> None:
    detections = tanks([(10, 10), (60, 10)], 20, None)
    assert (detections.gsd, detections.unit, detections.diameters.tolist()) == (None, "px", [20, 20])
    assert detections.sites.tolist() == [1, 1]


def test_scene_without_tanks_has_no_sites() -> None:
    detections = tanks([], 20, utm(2.0))
    assert (len(detections.sites), len(detections.diameters)) == (0, 0)


def test_summary_counts_tanks_sizes_and_sites() -> None:
    summary = summarise(two_tanks(None), "a.v2.tif")
    assert summary.tanks == 2
    assert summary.diameters_px == {"0-10": 0, "10-20": 1, "20-30": 0, "30-40": 1}
    (site,) = summary.sites
    assert site.tanks == 2
    assert site.roof_area_px2 == pytest.approx(np.pi / 4 * (31**2 + 19.875**2), abs=0.1)
    assert Polygon(site.outline).bounds == (10, 20, 120, 52)


def test_summary_of_no_detections_has_no_sites() -> None:
    summary = summarise(two_tanks(None, []), "a.v2.tif")
    assert (summary.tanks, summary.sites, summary.diameters) == (0, [], {"0-10": 0})


@pytest.mark.parametrize(("georeference", "unit"), [(TURNED, "m"), (None, "px")])
def test_summary_round_trips_with_its_unit_of_length(georeference: object, unit: str) -> None:
    summary = summarise(two_tanks(georeference), "a.v2.tif")
    written = summary.model_dump(mode="json", exclude_unset=True)
    assert [key for key in written if key.startswith("diameters")] == [f"diameters_{unit}"]
    assert [key for key in written["sites"][0] if key.startswith("roof")] == [f"roof_area_{unit}2"]
    assert SceneSummary.model_validate(written) == summary
    assert summary.unit == unit


def test_table_has_a_line_for_each_scene_and_a_total() -> None:
    summaries = [summarise(two_tanks(georeference), "a.v2.tif") for georeference in (TURNED, None)]
    head, first, second, last = RunSummary(made_by=MADE_BY, scenes=summaries, left_out={}).table().splitlines()
    assert head.split() == ["scene", "tanks", "sites", "diameters"]
    assert first.split()[:3] == second.split()[:3] == ["a.v2", "2", "1"]
    assert "10-20 px: 1, 30-40 px: 1" in second
    assert last.split() == ["all", "4"]
