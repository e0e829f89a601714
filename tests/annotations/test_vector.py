from pathlib import Path

import geopandas
import pytest
from shapely import LineString, MultiPolygon, Point, box

from oil_storage.annotations import Annotations, formats
from oil_storage.errors import UserError
from tests.annotations.exports import make_scenes, vector
from tests.annotations.test_geojson import scene

X, Y = 595_000, 5_750_000


def square(x: float, y: float) -> object:
    """Return a square of 10 x 10 px on the scene of :func:`scene`."""
    return box(X + 2 * x, Y - 2 * (y + 10), X + 2 * (x + 10), Y - 2 * y)


def read(folder: Path, shapes: list[object], name: str = "tanks.gpkg", **columns: object) -> Annotations:
    scene(folder / "a.tif")
    geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32631").to_file(folder / name, engine="pyogrio")
    assert formats.detect(folder) == "vector"
    return formats.read(folder)


def test_classes_are_read_by_column(tmp_path: Path) -> None:
    annotations = read(tmp_path, [square(10, 20), square(40, 20)], Label=["tank", None], height=[1.5, None])
    assert [(record.class_name, record.box) for record in annotations.records] == [
        ("tank", (10, 20, 20, 30)),
        ("unnamed", (40, 20, 50, 30)),
    ]
    assert annotations.records[0].place == f"{tmp_path}/tanks.gpkg: tanks: feature 1"
    assert "properties: Label, height" in annotations.unnamed[0]


def test_parts_become_boxes_and_other_geometries_are_left_out(tmp_path: Path) -> None:
    parts = MultiPolygon([square(10, 20), square(40, 20)])
    shapes = [parts, Point(X + 9, Y - 9), LineString([(X, Y), (X + 9, Y)]), None]
    annotations = read(tmp_path, shapes, Class=["tank"] * 4)
    assert len(annotations.records) == 2
    assert [finding.check for finding in annotations.findings] == ["several-polygons", *["no-polygon"] * 3]


def test_all_layers_with_polygons_are_read(tmp_path: Path) -> None:
    read(tmp_path, [square(10, 20)], Class=["tank"])
    more = geopandas.GeoDataFrame({"Class": ["tank"]}, geometry=[square(40, 20)], crs="EPSG:32631").to_crs("EPSG:4326")
    more.to_file(tmp_path / "tanks.gpkg", layer="more", engine="pyogrio")
    boxes = [tuple(map(round, record.box)) for record in formats.read(tmp_path).records]
    assert sorted(boxes) == [(10, 20, 20, 30), (40, 20, 50, 30)]


@pytest.mark.parametrize("name", ["tanks.gpkg", "tanks.shp", "tanks.fgb"])
def test_damaged_file_is_an_error(tmp_path: Path, name: str) -> None:
    read(tmp_path, [square(10, 20)], name, Class=["tank"])
    (tmp_path / name).write_bytes(b"no vector file")
    with pytest.raises(UserError, match=rf"{name}: GDAL cannot read it"):
        formats.read(tmp_path)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb"])
def test_a_truncated_file_is_refused_wherever_it_ends(suffix: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    vector(suffix)(make_scenes(tmp_path / "in"), source)
    file = source / f"tanks{suffix}"
    content = file.read_bytes()
    assert len(formats.read(source).records) == 30
    for part in range(20):
        file.write_bytes(content[: len(content) * part // 20])
        with pytest.raises(UserError, match=file.name):
            formats.read(source)


def test_a_file_without_a_layer_of_geometries_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    vector(".gpkg")(make_scenes(tmp_path / "in"), source)
    (source / "tanks.gpkg").unlink()
    geopandas.GeoDataFrame({"styles": ["red"]}).to_file(source / "styles.gpkg", engine="pyogrio")
    with pytest.raises(UserError, match=r"styles\.gpkg: contains no layer with geometries"):
        formats.read(source)
