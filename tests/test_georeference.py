from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from oil_storage.errors import UserError
from oil_storage.georeference import PIXELS, Georeference, sidecars
from oil_storage.imagery import read_georeference
from tests.labelled_scenes import write_geotiff

TURNED = Affine.translation(595_000, 5_750_000) @ Affine.rotation(31) @ Affine.scale(1.5, -2)
LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'


def test_to_pixels_is_the_inverse_of_to_world() -> None:
    georeference = Georeference(None, tuple(TURNED)[:6])
    points = np.random.default_rng(0).uniform(-100, 5000, (50, 2))
    placed = georeference.to_world(points)
    np.testing.assert_allclose(placed, [TURNED @ tuple(point) for point in points.tolist()])
    np.testing.assert_allclose(georeference.to_pixels(placed), points, atol=1e-6)
    np.testing.assert_array_equal(PIXELS.to_world(points), points)
    assert georeference.to_world(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.filterwarnings("error")
def test_infinite_coordinates_stay_infinite() -> None:
    assert not np.isfinite(Georeference(None, (2, 0, 5, 0, -2, 7)).to_pixels(np.array([[np.inf, 1]]))).all()


@pytest.mark.parametrize(("crs", "stated"), [("EPSG:32631", "EPSG:32631"), (None, None), (LOCAL, None)])
def test_the_georeference_of_a_geotiff_is_read(tmp_path: Path, crs: str | None, stated: str | None) -> None:
    write_geotiff(tmp_path / "a.tif", 20, 10, crs, TURNED)
    georeference = read_georeference(tmp_path / "a.tif")
    assert georeference is not None
    assert georeference.crs == stated
    np.testing.assert_allclose(georeference.transform, tuple(TURNED)[:6])


def test_coordinate_system_without_epsg_code_is_stored_as_wkt(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", 20, 10, "+proj=laea +lat_0=51.5 +lon_0=4.2 +datum=WGS84", TURNED)
    georeference = read_georeference(tmp_path / "a.tif")
    assert georeference is not None
    assert georeference.crs is not None
    assert "PROJCS" in georeference.crs


@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a.png"])
def test_images_without_georeference_give_none_and_no_warning(
    tmp_path: Path, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / name)
    assert read_georeference(tmp_path / name) is None
    assert not recwarn


def test_a_world_file_gives_the_georeference_and_is_a_sidecar(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.v2.tif")
    assert sidecars(tmp_path / "a.v2.tif") == []
    (tmp_path / "a.v2.tfw").write_text("2\n0\n0\n-2\n1001\n1999\n")
    assert read_georeference(tmp_path / "a.v2.tif") == Georeference(None, (2, 0, 1000, 0, -2, 2000))
    assert sidecars(tmp_path / "a.v2.tif") == [tmp_path / "a.v2.tfw"]


@pytest.mark.parametrize("ending", ["tfw", "TFW", "tifw", "wld"])
def test_world_files_of_all_suffixes_are_sidecars(tmp_path: Path, ending: str) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.tif")
    beside = tmp_path / f"a.{ending}"
    beside.write_text("2\n0\n0\n-2\n1001\n1999\n")
    assert read_georeference(tmp_path / "a.tif") is not None
    assert sidecars(tmp_path / "a.tif") == [beside]


def write_control_points(path: Path, pixels: list[tuple[float, float]], shifts: dict[int, float]) -> None:
    """Write a raster with ground control points; ``shifts`` moves some of them to the right, in pixels."""
    points = [GroundControlPoint(row, column, *(TURNED @ (column, row))) for column, row in pixels]
    for index, shift in shifts.items():
        points[index].col += shift
    shape = {"width": 200, "height": 100, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", gcps=points, crs="EPSG:32631", **shape):
        pass


CORNERS = [(0.0, 0.0), (200.0, 0.0), (0.0, 100.0), (200.0, 100.0), (100.0, 50.0)]


@pytest.mark.parametrize("pixels", [CORNERS, CORNERS[:3]])
def test_ground_control_points_give_the_georeference(tmp_path: Path, pixels: list[tuple[float, float]]) -> None:
    write_control_points(tmp_path / "a.tif", pixels, {4: 0.4} if len(pixels) > 4 else {})
    georeference = read_georeference(tmp_path / "a.tif")
    assert georeference is not None
    assert georeference.crs == "EPSG:32631"
    np.testing.assert_allclose(georeference.to_world(np.array([[200.0, 100.0]])), [TURNED @ (200, 100)], atol=0.3)


@pytest.mark.parametrize(
    ("pixels", "shifts"),
    [
        (CORNERS, {4: 3.0}),  # the raster is bent
        (CORNERS, {1: np.nan}),
        (CORNERS[:2], {}),
        ([(0.0, 0.0), (100.0, 50.0), (200.0, 100.0)], {}),  # on a line
        ([(5.0, 5.0)] * 4, {}),
    ],
)
def test_unusable_ground_control_points_are_ignored(
    tmp_path: Path, pixels: list[tuple[float, float]], shifts: dict[int, float]
) -> None:
    write_control_points(tmp_path / "a.tif", pixels, shifts)
    assert read_georeference(tmp_path / "a.tif") is None


def test_a_damaged_tiff_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(UserError, match=r"a\.tif: cannot be opened as an image \(TIFFRead"):
        read_georeference(tmp_path / "a.tif")
