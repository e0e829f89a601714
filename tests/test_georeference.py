import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from math import asinh, atan2, atanh, cos, cosh, hypot, pi, radians, sin, sinh, sqrt, tan
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine

from oil_storage.errors import UserError
from oil_storage.georeference import PIXELS, Georeference, resolution_of, sidecars
from oil_storage.image_file import read_georeference
from oil_storage.imagery import open_scene
from oil_storage.inference.scene_detections import SceneDetections
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


@pytest.mark.parametrize(
    ("name", "ending"), [("a.jpg", "jgw"), ("a.JPG", "jpgw"), ("a.jpeg", "wld"), ("a.png", "pgw"), ("a.png", "PGW")]
)
def test_world_file_and_prj_place_images_of_other_formats(tmp_path: Path, name: str, ending: str) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / name)
    (tmp_path / f"a.{ending}").write_text("2\n0\n0\n-2\n1001\n1999\n")
    assert read_georeference(tmp_path / name) == Georeference(None, (2, 0, 1000, 0, -2, 2000))
    (tmp_path / "a.prj").write_text(CRS.from_epsg(32631).to_wkt(version="WKT1_ESRI"))
    assert read_georeference(tmp_path / name) == Georeference("EPSG:32631", (2, 0, 1000, 0, -2, 2000))
    assert sidecars(tmp_path / name) == [tmp_path / f"a.{ending}", tmp_path / "a.prj"]
    (tmp_path / "a.prj").write_text("unknown")
    with pytest.raises(UserError, match=r"a\.prj: not a coordinate system"):
        read_georeference(tmp_path / name)


def test_image_that_is_not_orthorectified_has_no_exact_place(tmp_path: Path) -> None:
    one, longitude, latitude = ([float(place == term) for place in range(20)] for term in (0, 1, 2))
    model = RPC(100, 500, 52, 0.01, one, [-value for value in latitude], 500, 500, 4, 0.02, one, longitude, 400, 400)
    profile = {"driver": "GTiff", "width": 801, "height": 1001, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", rpcs=model, **profile):
        pass
    georeference = read_georeference(tmp_path / "a.tif")
    assert georeference is not None
    assert not georeference.is_exact
    np.testing.assert_allclose(georeference.to_world(np.array([[400.5, 500.5]])), [(4, 52)], atol=1e-6)
    np.testing.assert_allclose(resolution_of(georeference, 801, 1001), (3.433, 2.225), atol=0.01)
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.update_tags(ns="RPC", LINE_NUM_COEFF="damaged")
    with pytest.raises(UserError, match=r"a\.tif: damaged RPC"):
        read_georeference(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.ntf", "w", **profile | {"driver": "NITF"}, ICORDS="G") as raster:
        raster.crs, raster.transform = CRS.from_epsg(4326), Affine(1e-3, 0, 4, 0, -1e-3, 52)
    rounded = read_georeference(tmp_path / "a.ntf")  # to a second of arc
    assert rounded is not None
    assert not rounded.is_exact


FLATTENING = 1 / 298.257223563
AXIS, ECCENTRICITY = 6_378_137.0, sqrt(FLATTENING * (2 - FLATTENING))
"""Ellipsoid of WGS 84: the longer axis in metres, and the eccentricity."""
SIZE, PIXEL = (90, 70), (30.0, 20.0)
"""Width and height of the rasters, and the pixel whose place is known."""


def utm(zone: int, longitude: float, latitude: float) -> tuple[float, float]:
    """Return easting and northing (Krüger's series as in Karney, 2011, doi:10.1007/s00190-011-0445-3)."""
    n = FLATTENING / (2 - FLATTENING)
    series = (n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16, 13 * n**2 / 48 - 3 * n**3 / 5, 61 * n**3 / 240)
    radius = 0.9996 * AXIS / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    east, sine = radians(longitude - 6 * zone + 183), sin(radians(latitude))
    t = sinh(atanh(sine) - ECCENTRICITY * atanh(ECCENTRICITY * sine))
    xi, eta = atan2(t, cos(east)), asinh(sin(east) / hypot(t, cos(east)))
    terms = [(factor, 2 * order) for order, factor in enumerate(series, 1)]
    x = eta + sum(factor * cos(order * xi) * sinh(order * eta) for factor, order in terms)
    y = xi + sum(factor * sin(order * xi) * cosh(order * eta) for factor, order in terms)
    return 500_000 + radius * x, radius * y


def web_mercator(longitude: float, latitude: float) -> tuple[float, float]:
    """Return coordinates in EPSG:3857, the spherical Mercator projection."""
    return AXIS * radians(longitude), AXIS * atanh(sin(radians(latitude)))


def polar(longitude: float, latitude: float) -> tuple[float, float]:
    """Return coordinates in EPSG:3413, which is true at 70 degrees north (Snyder, 1987, equations 21-30 to 21-34)."""

    def t(angle: float) -> float:
        e = ECCENTRICITY * sin(angle)
        return tan(pi / 4 - angle / 2) / ((1 - e) / (1 + e)) ** (ECCENTRICITY / 2)

    true = radians(70)
    scale = cos(true) / sqrt(1 - (ECCENTRICITY * sin(true)) ** 2)
    radius = AXIS * scale * t(radians(latitude)) / t(true)
    east = radians(longitude + 45)
    return radius * sin(east), -radius * cos(east)


def metres_apart(places: np.ndarray) -> float:
    """Return the distance of two near places ``(2, 2)``, longitude and latitude, on a sphere."""
    east, north = np.radians(places[1] - places[0])
    return hypot(remainder_of_turn(east) * cos(radians(places[0, 1])), north) * AXIS


def remainder_of_turn(angle: float) -> float:
    return (angle + pi) % (2 * pi) - pi


def save(path: Path, crs: object, transform: Affine | None, **profile: object) -> None:
    """Write a raster of :data:`SIZE`."""
    size = {"width": SIZE[0], "height": SIZE[1], "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **size, **{"driver": "GTiff"} | profile) as raster:
        raster.write(np.full((3, SIZE[1], SIZE[0]), 90, np.uint8))


def around(place: tuple[float, float], x: float, y: float) -> Affine:
    """Return the map with pixels of ``x`` by ``y`` that puts :data:`PIXEL` at a place."""
    return Affine.translation(*place) @ Affine.scale(x, y) @ Affine.translation(-PIXEL[0], -PIXEL[1])


def in_utm(crs: object, zone: int = 31, unit: float = 1.0, side: float = -1.2) -> Callable[..., None]:
    def write(path: Path, *place: float) -> None:
        easting, northing = utm(zone, *place)
        save(path, crs, around((easting / unit, northing / unit), 1.2 / unit, side / unit))

    return write


def by_control_points(path: Path, *place: float) -> None:
    to_world = around(utm(31, *place), 1.2, -1.2)
    corners = [(0, 0), (SIZE[0], 0), SIZE, (0, SIZE[1])]
    points = [GroundControlPoint(y, x, *(to_world @ (x, y))) for x, y in corners]
    save(path, "EPSG:32631", None, gcps=points)


def by_world_file(path: Path, *place: float) -> None:
    Image.new("RGB", SIZE).save(path)
    a, b, _, d, e, _, *_ = to_world = around(utm(31, *place), 1.2, -1.2)
    numbers = (a, d, b, e, *(to_world @ (0.5, 0.5)))  # of the centre of the first pixel
    path.with_suffix(f".{path.suffix[1]}{path.suffix[-1]}w").write_text("\n".join(map(str, numbers)))
    path.with_suffix(".prj").write_text(CRS.from_epsg(32631).to_wkt(version="WKT1_ESRI"))


def in_degrees(path: Path, longitude: float, latitude: float) -> None:
    save(path, "EPSG:4326", around((longitude % 360, latitude), 1e-5, -1e-5))


@pytest.mark.parametrize(
    ("name", "place", "write"),
    [
        ("utm.tif", (4.3, 51.9), in_utm("EPSG:32631")),
        ("feet.tif", (4.3, 51.9), in_utm("+proj=utm +zone=31 +datum=WGS84 +units=us-ft", unit=1200 / 3937)),
        ("compound.tif", (4.3, 51.9), in_utm("EPSG:32631+5773")),
        ("south_up.tif", (4.3, 51.9), in_utm("EPSG:32631", side=1.2)),
        ("utm_across_180.tif", (-179.9999, 65.0), in_utm("EPSG:32660", zone=60)),
        ("degrees_across_180.tif", (-179.9999, 65.0), in_degrees),
        ("degrees_before_180.tif", (179.9999, 65.0), in_degrees),
        ("polar.tif", (60.3, 81.2), lambda path, *at: save(path, "EPSG:3413", around(polar(*at), 1.2, -1.2))),
        ("web.tif", (4.3, 51.9), lambda path, *at: save(path, "EPSG:3857", around(web_mercator(*at), 2, -2))),
        ("control_points.tif", (4.3, 51.9), by_control_points),
        ("world_file.jpg", (4.3, 51.9), by_world_file),
        ("world_file.png", (4.3, 51.9), by_world_file),
        ("world_file.tif", (4.3, 51.9), by_world_file),
        ("utm.jp2", (4.3, 51.9), lambda path, *at: save(path, *placed_in_utm(at), driver="JP2OpenJPEG")),
        ("utm.img", (4.3, 51.9), lambda path, *at: save(path, *placed_in_utm(at), driver="HFA")),
    ],
)
def test_places_are_right_to_one_metre(
    tmp_path: Path, name: str, place: tuple[float, float], write: Callable[..., None]
) -> None:
    write(tmp_path / name, *place)
    detections = detections_in(tmp_path / name)
    (found,) = detections.coordinates(np.array([PIXEL]))
    assert -180 <= found[0] <= 180
    assert metres_apart(np.array([place, found])) < 1
    assert detections.place == "WGS 84"
    # a step of 10 pixels down and to the right has the length that the resolution states
    step = metres_apart(detections.coordinates(np.array([PIXEL, np.add(PIXEL, 10)])))
    assert detections.resolution is not None
    assert step == pytest.approx(10 * hypot(*detections.resolution), rel=0.006)  # the sphere of metres_apart


def placed_in_utm(place: tuple[float, float]) -> tuple[str, Affine]:
    return "EPSG:32631", around(utm(31, *place), 1.2, -1.2)


def detections_in(path: Path) -> SceneDetections:
    image, boxes = open_scene(path), np.array([(10, 10, 20, 20)], np.float32)
    return SceneDetections(path.name, *SIZE, boxes, np.ones(1, np.float32), image.georeference)


@pytest.mark.parametrize(("crs", "words"), [(LOCAL, "has no coordinate system"), (None, "has no georeference")])
def test_local_and_missing_places_stay_pixels_and_are_named(tmp_path: Path, crs: str | None, words: str) -> None:
    save(tmp_path / "a.tif", crs, around((1000, 2000), 2, -2) if crs else None)
    detections = detections_in(tmp_path / "a.tif")
    np.testing.assert_array_equal(detections.coordinates(np.array([PIXEL])), [PIXEL])
    assert detections.resolution is None
    assert words in detections.place


PLACE_IN_BOTH_LIBRARIES = """
import sys
from pathlib import Path
import numpy as np
from oil_storage.imagery import open_scene
from oil_storage.inference.scene_detections import SceneDetections
from oil_storage.inference.scene_files import geopackage
import pyogrio
image = open_scene(Path(sys.argv[1]))
boxes = np.array([(10, 10, 20, 20)], np.float32)
detections = SceneDetections("a.tif", 90, 70, boxes, np.ones(1, np.float32), image.georeference)
Path(sys.argv[2]).write_bytes(geopackage(detections))
print(*detections.coordinates(np.array([(30.0, 20.0)]))[0], pyogrio.read_info(sys.argv[2], layer="tanks")["crs"])
"""


@pytest.mark.parametrize("variable", ["PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH"])
def test_data_of_another_gdal_or_proj_is_not_used(tmp_path: Path, variable: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with sqlite3.connect(other / "proj.db") as database:  # as of PROJ 6
        database.execute("CREATE TABLE metadata (key TEXT, value TEXT)")
        versions = [("DATABASE.LAYOUT.VERSION.MAJOR", "1"), ("DATABASE.LAYOUT.VERSION.MINOR", "0")]
        database.executemany("INSERT INTO metadata VALUES (?, ?)", versions)
    (other / "gdal_BAD.so").write_text("not a library")
    in_utm("EPSG:32631")(tmp_path / "a.tif", 4.3, 51.9)
    command = [sys.executable, "-c", PLACE_IN_BOTH_LIBRARIES, str(tmp_path / "a.tif"), str(tmp_path / "a.gpkg")]
    done = subprocess.run(command, env={**os.environ, variable: str(other)}, capture_output=True, text=True, check=True)
    longitude, latitude, crs = done.stdout.split()
    np.testing.assert_allclose([float(longitude), float(latitude)], (4.3, 51.9), atol=1e-6)
    assert (crs, done.stderr) == ("EPSG:32631", "")


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
def test_unusable_ground_control_points_are_ignored_with_a_message(
    tmp_path: Path, pixels: list[tuple[float, float]], shifts: dict[int, float]
) -> None:
    write_control_points(tmp_path / "a.tif", pixels, shifts)
    assert read_georeference(tmp_path / "a.tif") is None
    assert "ground control points; warp it" in open_scene(tmp_path / "a.tif").notes["no-place"]


def test_a_damaged_tiff_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(UserError, match=r"a\.tif: cannot be opened as an image \(TIFFRead"):
        read_georeference(tmp_path / "a.tif")
