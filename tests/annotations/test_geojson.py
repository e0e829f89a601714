import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine
from rasterio.warp import transform

from oil_storage.annotations import Annotations, ImageRecord, formats, geojson
from oil_storage.audit.records import audit
from oil_storage.errors import UserError
from oil_storage.image_file import read_georeference
from oil_storage.scene import Scene
from tests.labelled_scenes import write_geotiff

UTM = "EPSG:32631"
NORTH_UP = Affine(2, 0, 595_000, 0, -2, 5_750_000)
TURNED = Affine.translation(595_000, 5_750_000) @ Affine.rotation(-17) @ Affine.scale(2, -2)
NAMED = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
Box = tuple[float, float, float, float]


def read(source: Path) -> Annotations:
    return formats.read(source, "geojson")


def rectangle(box: Box, placed: Affine | None = None, crs: str | None = None) -> list[list[list[float]]]:
    """Return polygon coordinates of a box: pixels, raster coordinates (with ``placed``) or WGS 84 (with ``crs``)."""
    x1, y1, x2, y2 = box
    points = [(x1, y1), (x1, y2), (x2, y2), (x2, y1), (x1, y1)]
    if placed:
        points = [placed @ point for point in points]
    if crs:
        points = list(zip(*transform(crs, "OGC:CRS84", *zip(*points, strict=True)), strict=True))
    return [[list(point) for point in points]]


def feature(coordinates: Any, kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties or {"class": "tank"}, "geometry": geometry}


def write(path: Path, *features: Any, **members: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", **members, "features": features}))
    return path


def scene(path: Path, placed: Affine = NORTH_UP, crs: str | None = UTM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_geotiff(path, 100, 80, crs, placed)
    return path


BOXES: list[Box] = [(10, 20, 30.5, 41.25), (0, 0, 100, 80)]


@pytest.mark.parametrize("placed", [NORTH_UP, TURNED])
@pytest.mark.parametrize(
    ("members", "in_wgs84"),
    [({}, True), ({}, False), ({"crs": NAMED}, False), ({"crs": None}, False)],
    ids=["rfc7946", "numbers", "named", "null"],
)
@pytest.mark.parametrize("name", ["a.geojson", "all.geojson"])
def test_read_converts_wgs84_and_raster_coordinates_to_pixels(
    tmp_path: Path, placed: Affine, members: dict[str, Any], in_wgs84: bool, name: str
) -> None:
    image = scene(tmp_path / "a.tif", placed)
    features = [feature(rectangle(box, placed, UTM if in_wgs84 else None)) for box in BOXES]
    file = write(tmp_path / name, *features, **members)
    assert formats.detect(tmp_path) == "geojson"
    annotations = read(tmp_path)
    assert annotations.images == [ImageRecord("a", image, None, str(image))]
    np.testing.assert_allclose([record.box for record in annotations.records], BOXES, atol=0.01)
    assert [record.place for record in annotations.records] == [f"{file}: features[0]", f"{file}: features[1]"]
    assert {record.class_name for record in annotations.records} == {"tank"}
    assert (annotations.files, annotations.findings) == ([file], [])


def test_crs_member_may_name_wgs84(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    write(tmp_path / "a.geojson", feature(rectangle(BOXES[0], NORTH_UP, UTM)), crs=named)
    np.testing.assert_allclose(read(tmp_path).records[0].box, BOXES[0], atol=0.01)


def test_one_file_may_cover_scenes_in_several_coordinate_systems(tmp_path: Path) -> None:
    right = NORTH_UP @ Affine.translation(60, 0)
    scene(tmp_path / "images/left.tif")
    scene(tmp_path / "images/right.tif", right)
    far = Affine(2, 0, 405_000, 0, -2, 5_750_000)
    scene(tmp_path / "images/far.tif", far, "EPSG:32632")
    write(
        tmp_path / "oil.geojson",
        feature(rectangle((70, 10, 90, 30), NORTH_UP, UTM)),
        feature(rectangle((95, 50, 105, 60), NORTH_UP, UTM)),
        feature(rectangle((92, 50, 112, 60), NORTH_UP, UTM), "Polygon", label="big"),
        feature(rectangle((-8, 0, 2, 10), NORTH_UP, UTM)),
        feature(rectangle((5, 5, 15, 15), far, "EPSG:32632")),
    )
    annotations = read(tmp_path)
    shown = [(record.image, record.place[-2], tuple(map(round, record.box))) for record in annotations.records]
    assert shown == [
        ("far", "4", (5, 5, 15, 15)),
        ("left", "0", (70, 10, 90, 30)),
        ("left", "1", (95, 50, 105, 60)),
        ("left", "2", (92, 50, 112, 60)),
        ("right", "0", (10, 10, 30, 30)),
        ("right", "1", (35, 50, 45, 60)),
        ("right", "2", (32, 50, 52, 60)),
    ]
    assert [(finding.check, finding.place[-2]) for finding in annotations.findings] == [("in-no-scene", "3")]


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"class": "tank", "label": "x"}, "tank"),
        ({"class": None, "category": 3}, "3"),
        ({"class_name": "t"}, "t"),
        ({"name": "tank 17"}, "unnamed"),
    ],
)
def test_class_is_read_from_common_properties(tmp_path: Path, properties: dict[str, Any], name: str) -> None:
    scene(tmp_path / "a.tif")
    write(tmp_path / "a.geojson", feature(rectangle(BOXES[0], NORTH_UP), **properties), crs=None)
    assert read(tmp_path).records[0].class_name == name


def test_null_crs_means_pixels_without_georeference(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    write(tmp_path / "a.geojson", feature(rectangle(BOXES[0])), crs=None)
    assert [record.box for record in read(tmp_path).records] == [BOXES[0]]


def test_world_file_georeferences_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.tif")
    centre = NORTH_UP @ (0.5, 0.5)  # a world file refers to the centre of the first pixel
    (tmp_path / "a.tfw").write_text(f"2\n0\n0\n-2\n{centre[0]}\n{centre[1]}\n")
    write(tmp_path / "a.geojson", feature(rectangle(BOXES[0], NORTH_UP)))
    assert [record.box for record in read(tmp_path).records] == [BOXES[0]]


ACROSS = {"degrees": ("EPSG:4326", Affine(1e-5, 0, 179.9995, 0, -1e-5, 65)), "utm": ("EPSG:32660", None)}


@pytest.mark.parametrize("system", ["degrees", "utm"])
@pytest.mark.parametrize("name", ["a.geojson", "all.geojson"])
def test_boxes_at_the_antimeridian_are_written_and_read_back(tmp_path: Path, system: str, name: str) -> None:
    crs, placed = ACROSS[system]
    if placed is None:
        (easting,), (northing,) = transform("OGC:CRS84", crs, [179.9995], [65])
        placed = Affine(0.5, 0, easting, 0, -0.5, northing)
    image = scene(tmp_path / "a.tif", placed, crs)
    boxes: list[Box] = [(10, 20, 30.5, 41.25), (40, 20, 60, 40), (70, 20, 90, 40)]
    (tmp_path / "out" / "images").mkdir(parents=True)
    labelled = Scene("a", image, 100, 80, np.array(boxes, np.float32), read_georeference(image))
    geojson.write([labelled], tmp_path / "out")
    written = tmp_path / "out" / "images" / "a.geojson"
    text = written.read_text()
    written.unlink()
    assert [feature["geometry"]["type"] for feature in json.loads(text)["features"]] == [
        "Polygon",
        "MultiPolygon",
        "Polygon",
    ]
    (tmp_path / name).write_text(text)
    annotations = read(tmp_path)
    np.testing.assert_allclose([record.box for record in annotations.records], boxes, atol=0.02)
    assert not [finding for finding in annotations.findings if finding.check != "outline"]


@pytest.mark.parametrize("system", ["degrees", "utm"])
def test_longitudes_may_continue_beyond_the_antimeridian(tmp_path: Path, system: str) -> None:
    crs, placed = ACROSS[system]
    if placed is None:
        (easting,), (northing,) = transform("OGC:CRS84", crs, [179.9995], [65])
        placed = Affine(0.5, 0, easting, 0, -0.5, northing)
    scene(tmp_path / "a.tif", placed, crs)
    polygon = rectangle((60, 20, 90, 40), placed, crs)
    beyond = [[[longitude % 360, latitude] for longitude, latitude in ring] for ring in polygon]
    assert max(longitude for longitude, _ in beyond[0]) > 180
    write(tmp_path / "a.geojson", feature(beyond))
    (record,) = read(tmp_path).records
    np.testing.assert_allclose(record.box, (60, 20, 90, 40), atol=0.02)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("latitude first", "latitude comes first"),
        ("mercator", "they are in EPSG:3857"),
        ("pixels", "they are pixels"),
    ],
)
@pytest.mark.parametrize("file", ["a.geojson", "all.geojson"])
def test_scene_whose_labels_lie_elsewhere_is_an_error_with_the_likely_reason(
    tmp_path: Path, name: str, reason: str, file: str
) -> None:
    scene(tmp_path / "a.tif")
    in_degrees = rectangle(BOXES[0], NORTH_UP, UTM)
    (longitudes, latitudes) = zip(*in_degrees[0], strict=True)
    polygon = {
        "latitude first": [[[y, x] for x, y in in_degrees[0]]],
        "mercator": [list(map(list, zip(*transform("OGC:CRS84", "EPSG:3857", longitudes, latitudes), strict=True)))],
        "pixels": rectangle(BOXES[0]),
    }[name]
    write(tmp_path / file, feature(polygon))
    with pytest.raises(UserError, match=rf"{file}: .*{reason}, so correct the coordinates"):
        read(tmp_path)


def test_sequence_has_one_feature_per_line(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    features = [json.dumps(feature(rectangle(box, NORTH_UP, UTM))) for box in BOXES]
    for separator in ("", "\x1e"):
        (tmp_path / "a.geojsonl").write_text("".join(f"{separator}{one}\n" for one in features))
        assert len(read(tmp_path).records) == 2
    (tmp_path / "a.geojsonl").write_text(f"{features[0]}\n{features[1][:-5]}\n")
    with pytest.raises(UserError, match=r"a\.geojsonl:2: not JSON .*; write one feature per line"):
        read(tmp_path)


def test_class_is_read_in_any_case_and_its_absence_names_the_properties(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    write(tmp_path / "a.geojson", feature(rectangle(BOXES[0], NORTH_UP, UTM), CLASS="ship", id=4))
    assert read(tmp_path).records[0].class_name == "ship"
    for properties, advice in (({"TYP": "ship"}, "rename the one with the class"), ({"id": 4}, "if all are tanks")):
        write(tmp_path / "a.geojson", feature(rectangle(BOXES[0], NORTH_UP, UTM), **properties))
        with pytest.raises(UserError, match=rf"1 labels have no class, .*{next(iter(properties))}.*; {advice}"):
            audit(read(tmp_path), {})


def test_boxes_on_an_image_that_is_not_orthorectified_are_reported(tmp_path: Path) -> None:
    profile = {"driver": "NITF", "width": 100, "height": 80, "count": 1, "dtype": "uint8", "ICORDS": "G"}
    with rasterio.open(tmp_path / "a.ntf", "w", crs="EPSG:4326", transform=Affine(1e-3, 0, 4, 0, -1e-3, 52), **profile):
        pass
    write(
        tmp_path / "a.geojson", feature([[[4.01, 51.99], [4.02, 51.99], [4.02, 51.98], [4.01, 51.98], [4.01, 51.99]]])
    )
    assert [finding.check for finding in read(tmp_path).findings if finding.check != "outline"] == ["not-exact"]


def test_polygon_becomes_its_bounding_box_with_a_warning(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    ring = [[30 + 10 * np.cos(angle), 40 + 10 * np.sin(angle)] for angle in np.arange(0, 7, np.pi / 4)]
    placed = [[list(NORTH_UP @ point) for point in ring]]
    file = write(tmp_path / "a.geojson", feature(rectangle(BOXES[0], NORTH_UP)), feature(placed), feature(placed))
    annotations = read(tmp_path)
    assert [record.box for record in annotations.records] == [BOXES[0], (20, 30, 40, 50), (20, 30, 40, 50)]
    (finding,) = annotations.findings
    assert (finding.check, finding.place) == ("outline", f"{file}: features[1]")
    assert finding.problem.endswith("; 1 more")


def test_other_geometries_than_one_polygon_are_reported(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.tif")
    first, second = rectangle(BOXES[0]), rectangle((50, 50, 60, 60))
    write(
        tmp_path / "a.geojson",
        feature([first], "MultiPolygon"),
        feature([first, second], "MultiPolygon"),
        feature([1, 2], "Point"),
        {"type": "Feature", "properties": None, "geometry": None},
        crs=None,
    )
    annotations = read(tmp_path)
    assert [(record.place[-2], record.box) for record in annotations.records] == [
        ("0", BOXES[0]),
        ("1", BOXES[0]),
        ("1", (50, 50, 60, 60)),
    ]
    assert sorted((finding.check, finding.place[-2]) for finding in annotations.findings) == [
        ("no-polygon", "2"),
        ("no-polygon", "3"),
        ("several-polygons", "1"),
    ]


def test_broken_image_is_kept_for_the_audit(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    scene(tmp_path / "b.tif")
    box = feature(rectangle(BOXES[0], NORTH_UP, UTM))
    write(tmp_path / "a.geojson", box)
    write(tmp_path / "oil.geojson", box)
    annotations = read(tmp_path)
    assert [image.name for image in annotations.images] == ["a", "b"]
    assert [record.image for record in annotations.records] == ["b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type": "FeatureCollection",\n "features": [', r":2: not JSON"),
        ('{"type": "Topology"}', r"type: Input should be 'FeatureCollection', not 'Topology'"),
        ({"features": [7]}, r"features\[0\]: Input should be a valid dictionary .*, not 7"),
        (
            {"features": [feature("x", "MultiPolygon")]},
            r"s\[0\]\.geometry: .* valid list, not 'x'",
        ),
        ({"features": [feature([])]}, r"features\[0\]\.geometry\[0\]: List should have at least 1 item"),
        ({"features": [feature([[[1, 2], [3, 4], [1, 2]]])]}, r"geometry\[0\]\[0\]: List should have at least 4 items"),
        (
            {"features": [feature([[[1, 2], [3, "4"], [5, 6], [1, 2]]])]},
            r"geometry\[0\]\[0\]\[1\]\[1\]: .* not '4'",
        ),
        ({"features": [], "crs": {"type": "link"}}, "unknown crs"),
        ({"features": [], "crs": {"properties": {"name": "EPSG:1"}}}, "unknown crs"),
    ],
)
def test_unreadable_feature_is_reported(tmp_path: Path, text: str | dict[str, Any], words: str) -> None:
    scene(tmp_path / "a.tif")
    content = text if isinstance(text, str) else json.dumps({"type": "FeatureCollection", **text})
    (tmp_path / "a.geojson").write_text(content)
    with pytest.raises(UserError, match=words) as error:
        read(tmp_path)
    assert "a.geojson" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_coordinates_without_position_are_rejected(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    file = write(tmp_path / "a.geojson", feature(rectangle(BOXES[0])))
    with pytest.raises(UserError, match=r'a\.png: no coordinate system.* WGS 84; .*"crs": null'):
        read(tmp_path)
    (tmp_path / "a.png").unlink()
    file.unlink()
    scene(tmp_path / "a.tif")
    write(tmp_path / "oil.geojson", feature(rectangle(BOXES[0], NORTH_UP)), crs=None)
    assert len(read(tmp_path).records) == 1
    scene(tmp_path / "b.tif", NORTH_UP, "EPSG:32632")
    with pytest.raises(UserError, match=r"oil\.geojson: the coordinates are ambiguous, because the images have 2"):
        read(tmp_path)


def test_polygons_outside_all_images_are_an_error(tmp_path: Path) -> None:
    scene(tmp_path / "a.tif")
    write(tmp_path / "oil.geojson", feature(rectangle((10, 20, 11, 21))))
    with pytest.raises(UserError, match=r"no image shows any of the 1 polygons, the first of which is at \(10, 20\)"):
        read(tmp_path)


def test_missing_geojson_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no geojson annotations"):
        read(tmp_path)
