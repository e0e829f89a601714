import json
from pathlib import Path

import pytest
from rasterio.transform import from_origin

from oil_storage.errors import UserError
from oil_storage.evaluation.detections_file import read_detections
from tests.labelled_scenes import write_geotiff

NAMES = {1: "a", 2: "b.v2"}


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_json_and_csv_layouts_give_the_same_detections(tmp_path: Path) -> None:
    results = [
        {"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 2, "category_id": 1, "bbox": [5, 6, 7, 8.5], "score": 0.25},
    ]
    images = [{"id": 1, "file_name": "x/a.tif"}, {"id": 2, "file_name": "b.v2.jpg"}]
    rows = "scene,xmin,ymin,xmax,ymax,score,note\nb.v2.jpg,1,2,4,6,0.5,\nb.v2,5,6,12,14.5,0.25,x\n"
    for path in (
        written(tmp_path, "results.json", results),
        written(tmp_path, "coco.json", {"images": images, "annotations": results}),
        written(tmp_path, "found.csv", rows),
    ):
        detections = read_detections(path, NAMES, {})
        assert list(detections) == ["b.v2"]
        assert detections["b.v2"].boxes.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14.5]]
        assert detections["b.v2"].scores.tolist() == [0.5, 0.25]


def feature(ring: list[list[float]], **properties: object) -> dict[str, object]:
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def test_geojson_is_read_in_pixel_and_map_coordinates(tmp_path: Path) -> None:
    raster = tmp_path / "a.tif"
    write_geotiff(raster, 100, 80, "EPSG:32631", from_origin(600_000, 5_700_000, 2, 2))
    folder = tmp_path / "found"
    folder.mkdir()
    utm = {"type": "name", "properties": {"name": "EPSG:32631"}}
    on_ground = [feature(square(600_020, 5_699_960, 20), score=0.75)]
    written(folder, "a.geojson", {"type": "FeatureCollection", "crs": utm, "features": on_ground})
    in_pixels = [feature(square(3, 4, 6), score=1)]
    written(folder, "b.v2.geojson", {"type": "FeatureCollection", "crs": None, "features": in_pixels})
    written(folder, "c.geojson", {"type": "FeatureCollection", "crs": None, "features": []})
    both = read_detections(folder, {}, {"a": raster})
    assert {name: detections.boxes.tolist() for name, detections in both.items()} == {
        "a": [[10, 10, 20, 20]],
        "b.v2": [[3, 4, 9, 10]],
    }
    assert both["a"].scores.tolist() == [0.75]
    assert read_detections(folder / "b.v2.geojson", {}, {}).keys() == {"b.v2"}
    with pytest.raises(
        UserError, match=r"a\.geojson: coordinates are in EPSG:32631, but the ground truth has no image a"
    ):
        read_detections(folder, {}, {})


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([feature(square(3, 4, 6))], r"features\[0\]: property score is None; it must be a number"),
        ([feature(square(3, 4, 6), score="1")], "property score is '1'; it must be a number"),
        ([feature(square(3, 4, 6), score=2)], "score 2 is not between 0 and 1"),
        (
            [{**feature(square(3, 4, 6), score=1), "geometry": {"type": "Point", "coordinates": [1, 2]}}],
            "has no polygon",
        ),
    ],
)
def test_invalid_geojson_feature_is_refused(features: list[object], message: str, tmp_path: Path) -> None:
    path = written(tmp_path, "a.geojson", {"type": "FeatureCollection", "crs": None, "features": features})
    with pytest.raises(UserError, match=message):
        read_detections(path, {}, {})


def test_folder_without_geojson_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains no \*\.geojson files"):
        read_detections(tmp_path, {}, {})


def test_file_without_detections_is_accepted(tmp_path: Path) -> None:
    assert read_detections(written(tmp_path, "none.json", []), {}, {}) == {}
    assert read_detections(written(tmp_path, "none.csv", "scene,xmin,ymin,xmax,ymax,score\n"), {}, {}) == {}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pkl", "", "unknown format; give .json"),
        ("a.json", "{", "a.json:1: not JSON"),
        ("a.json", {"images": []}, "annotations: Field required"),
        (
            "a.json",
            [{"image_id": 1, "category_id": kind, "bbox": [1, 2, 3, 4], "score": 1} for kind in (1, 2)],
            "contains boxes of 2 categories",
        ),
        ("a.json", [{"image_id": 1, "bbox": [1, 2, 3, 4]}], r"a.json: \[0\]: has no score"),
        (
            "a.json",
            [{"image_id": 9, "bbox": [1, 2, 3, 4], "score": 1}],
            r"a.json: \[0\]: image_id 9 is not in the ground truth",
        ),
        (
            "a.json",
            '[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": NaN}]',
            r"\[0\]: score nan is not between 0 and 1",
        ),
        ("a.json", [{"image_id": 1, "bbox": [1, 2, 0, 4], "score": 1}], r"\[0\]: box .* has no area"),
        (
            "a.json",
            [{"image_id": 1, "bbox": "1234", "score": 1}],
            r"\[0\].bbox: .* valid list, not '1234'",
        ),
        (
            "a.json",
            [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": True}],
            r"\[0\].score: Input should be a valid number, not True",
        ),
        ("a.json", "[" * 100_000, "cannot be read as JSON"),
        (
            "a.json",
            {"images": [{"id": i, "file_name": f"{i}/a.jpg"} for i in (1, 2)], "annotations": []},
            "two images have the same id or the same file name",
        ),
        (
            "a.json",
            {
                "images": [{"id": 4, "file_name": "a.jpg"}],
                "annotations": [{"image_id": "4", "bbox": [1, 2, 3, 4], "score": 1}],
            },
            r"annotations\[0\]: image_id '4' is not in images",
        ),
        ("a.json", {"images": [{"id": 1}], "annotations": []}, r"images\[0\].file_name: Field required"),
        ("a.json", [None], r"\[0\]: Input should be a dictionary"),
        ("a.csv", f"scene,xmin,ymin,xmax,ymax,score\n{'a' * 200_000},1,2,3,4,1\n", "field larger"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,3,inf,1\n", "a.csv:2: box .* not finite"),
        ("a.csv", "scene,xmin\na,1\n", "has no column ymin, xmax, ymax, score"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,3,4,94\n", "a.csv:2: score 94 is not between 0 and 1"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,1e30,4,1\n", "a.csv:2: box .* too large or not finite"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,3,4,1\na,1,2,x,4,5\n", "a.csv:3: could not convert"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,3,4,nan\n", "a.csv:2: score nan is not between 0 and 1"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,4,2,3,4,1\n", "a.csv:2: box .* has no area"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,4,2\n", "a.csv:2: could not convert"),
    ],
)
def test_invalid_detections_are_refused_with_their_place(
    name: str, content: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        read_detections(written(tmp_path, name, content), NAMES, {})


def test_coco_results_require_image_ids_in_the_ground_truth(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}])
    with pytest.raises(UserError, match="give a COCO JSON file as the ground truth"):
        read_detections(path, {}, {})


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("scene,xmin,ymin,xmax,ymax,score\nanläge,1,2,3,4,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"not UTF-8 text .*; save it as UTF-8"):
        read_detections(path, {}, {})
