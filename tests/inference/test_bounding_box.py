import numpy as np
import pytest
from rasterio.warp import transform

from oil_storage.georeference import Georeference
from oil_storage.inference.bounding_box import BoundingBox, extent_of

SIDE = 1000
UTM = Georeference("EPSG:32631", (1.2, 0.0, 595_000.0, 0.0, -1.2, 5_750_000.0))
TURNED = Georeference("EPSG:32631", (1.2, 0.5, 595_000.0, 0.5, -1.2, 5_750_000.0))
NORTHWARD = Georeference("EPSG:32631", (1.2, 0.0, 595_000.0, 0.0, 1.2, 5_750_000.0))
MERCATOR = Georeference("EPSG:3857", (1.2, 0.0, 478_000.0, 0.0, -1.2, 6_780_000.0))
FEET = Georeference("EPSG:2263", (1.0, 0.0, 1e6, 0.0, -1.0, 2e5))
POLAR = Georeference("EPSG:3995", (1.2, 0.0, 1e5, 0.0, -1.2, 2e6))
FIJI = Georeference("EPSG:32701", (1.2, 0.0, 181_500.0, 0.0, -1.2, 8_010_000.0))  # crosses the antimeridian
SYSTEMS = [UTM, TURNED, NORTHWARD, MERCATOR, FEET, POLAR, FIJI]


def degrees(west: float) -> Georeference:
    return Georeference("EPSG:4326", (1e-5, 0.0, west, 0.0, -1e-5, -17.5))


def lonlat(georeference: Georeference, x: float, y: float) -> tuple[float, float]:
    """Return the longitude, from -180 to 180 degrees, and the latitude of a pixel."""
    (longitude,), (latitude,) = transform(georeference.crs, "OGC:CRS84", *georeference.to_world(np.array([[x, y]])).T)
    return (longitude + 180) % 360 - 180, latitude


def around(georeference: Georeference, x: float, y: float, half: float = 5e-4) -> BoundingBox:
    longitude, latitude = lonlat(georeference, x, y)
    west, east = ((side + 180) % 360 - 180 for side in (longitude - half, longitude + half))
    return BoundingBox(west, latitude - half, east, latitude + half)


@pytest.mark.parametrize("georeference", [*SYSTEMS, degrees(179.995), degrees(-180.005), degrees(359.0), degrees(4.3)])
@pytest.mark.parametrize("at", [(300, 700), (500, 500), (505, 480)])
def test_window_is_the_part_of_the_scene_in_the_box(georeference: Georeference, at: tuple[int, int]) -> None:
    box = around(georeference, *at)
    window = box.window(georeference, SIDE, SIDE)
    assert window is not None
    centre = (window[:2] + window[2:]) / 2
    np.testing.assert_allclose(centre, at, atol=1.5)
    for longitude, latitude in ((box.west, box.south), (box.east, box.north), (box.west, box.north)):
        world = np.array(transform("OGC:CRS84", georeference.crs, [longitude], [latitude])).T
        if georeference.crs == "EPSG:4326":
            world[:, 0] += 360 * round((georeference.transform[2] - world[0, 0]) / 360)
        x, y = georeference.to_pixels(world)[0]
        assert (window[:2] - 0.01 <= (x, y)).all()
        assert (window[2:] + 0.01 >= (x, y)).all()


@pytest.mark.parametrize("georeference", SYSTEMS)
def test_box_beside_the_scene_has_no_window(georeference: Georeference) -> None:
    for x, y in ((-500, 500), (1500, 500), (500, -500), (500, 1500)):
        assert around(georeference, x, y).window(georeference, SIDE, SIDE) is None
    longitude, latitude = lonlat(georeference, 500, 500)
    opposite = longitude - 180 if longitude > 0 else longitude + 180
    assert BoundingBox(opposite - 0.01, latitude, opposite + 0.01, latitude + 0.01).window(georeference, 9, 9) is None


@pytest.mark.parametrize("georeference", [UTM, MERCATOR, FIJI, degrees(179.995)])
def test_larger_box_gives_the_whole_scene(georeference: Georeference) -> None:
    for box in (BoundingBox(-180, -80, 180, 80), around(georeference, 500, 500, half=1.0)):
        window = box.window(georeference, SIDE, SIDE)
        assert window is not None
        assert window.tolist() == [0, 0, SIDE, SIDE]


def test_box_that_crosses_the_antimeridian_differs_from_its_complement() -> None:
    west, south, east, north = extent_of(FIJI, SIDE, SIDE)
    assert west < 180 < east or west < -180 < east
    assert BoundingBox(179.9, south, -179.9, north).window(FIJI, SIDE, SIDE) is not None
    assert BoundingBox(-170, south, 170, north).window(FIJI, SIDE, SIDE) is None


def test_scene_without_a_coordinate_system_cannot_be_placed() -> None:
    with pytest.raises(ValueError, match="names no coordinate system"):
        BoundingBox(0, 0, 1, 1).window(Georeference(None, (1.2, 0.0, 0.0, 0.0, -1.2, 0.0)), SIDE, SIDE)
