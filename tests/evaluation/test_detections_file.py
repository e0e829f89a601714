import json
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from oil_storage.errors import UserError
from oil_storage.evaluation.detections_file import read_detections
from oil_storage.evaluation.ground_truth import GroundTruth
from oil_storage.evaluation.matching import SceneResult
from oil_storage.scene import CLASS_NAME
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
        detections = read_detections(path, GroundTruth({}, NAMES))
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
    both = read_detections(folder, GroundTruth({}, images={"a": raster}))
    assert {name: detections.boxes.tolist() for name, detections in both.items()} == {
        "a": [[10, 10, 20, 20]],
        "b.v2": [[3, 4, 9, 10]],
    }
    assert both["a"].scores.tolist() == [0.75]
    assert read_detections(folder / "b.v2.geojson", GroundTruth({})).keys() == {"b.v2"}
    with pytest.raises(
        UserError, match=r"a\.geojson: coordinates are in EPSG:32631, but the ground truth has no image a"
    ):
        read_detections(folder, GroundTruth({}))


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
        read_detections(path, GroundTruth({}))


def test_folder_without_geojson_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains no \*\.geojson files"):
        read_detections(tmp_path, GroundTruth({}))


def test_file_without_detections_is_accepted(tmp_path: Path) -> None:
    assert read_detections(written(tmp_path, "none.json", []), GroundTruth({})) == {}
    assert read_detections(written(tmp_path, "none.csv", "scene,xmin,ymin,xmax,ymax,score\n"), GroundTruth({})) == {}


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
            r"a.json: \[0\]: image_id 9 is neither an id nor a name in the ground truth",
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
                "annotations": [{"image_id": "5", "bbox": [1, 2, 3, 4], "score": 1}],
            },
            r"annotations\[0\]: image_id 5 is neither an id nor a name in images",
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
        read_detections(written(tmp_path, name, content), GroundTruth({}, NAMES))


def test_coco_results_require_image_ids_in_the_ground_truth(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}])
    with pytest.raises(UserError, match="give a COCO JSON file as the ground truth"):
        read_detections(path, GroundTruth({}))


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("scene,xmin,ymin,xmax,ymax,score\nanläge,1,2,3,4,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"not UTF-8 text .*; save it as UTF-8"):
        read_detections(path, GroundTruth({}))


SCENES = {name: SceneResult(name, 200, 100, np.zeros((0, 4), np.float32)) for name in ("a", "b.v2", "c.jpg")}
TRUTH = GroundTruth(SCENES, NAMES, categories={1: "tank", 2: "ship"}, tanks=frozenset({"tank"}))
FOUND = {"image_id": 1, "category_id": 1, "bbox": [20, 10, 40, 20], "score": 0.5}


@pytest.mark.parametrize(
    "results",
    [
        [FOUND],
        [FOUND | {"image_id": 1.0}],
        [FOUND | {"image_id": "1"}],
        [FOUND | {"image_id": "a"}],
        [FOUND | {"image_id": "D:\\images\\A.JPG"}],
        [FOUND | {"image_id": 77, "file_name": "a.png"}],
        [FOUND | {"category_id": 7, "category_name": "Storage Tank", "segmentation": [], "iscrowd": 0, "area": 800}],
        {
            "images": [{"id": 9, "file_name": "x\\a.jpg"}],
            "annotations": [FOUND | {"image_id": 9}],
            "categories": [{"id": 0, "name": "tanks"}, {"id": 1, "name": "tank", "supercategory": "tanks"}],
        },
    ],
    ids=["coco", "float", "text", "ultralytics", "path", "file name", "sahi", "roboflow"],
)
def test_results_of_other_tools_are_matched_to_scenes(tmp_path: Path, results: object) -> None:
    (detections,) = read_detections(written(tmp_path, "found.json", results), TRUTH).items()
    assert detections[0] == "a"
    assert detections[1].boxes.tolist() == [[20, 10, 60, 30]]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("scene,xmin,ymin,xmax,ymax,score", "/data/a.tif,20,10,60,30,0.5"),
        ("\ufeffscene,xmin,ymin,xmax,ymax,score", "D:\\images\\a.jpg,20,10,60,30,0.5"),
        ("xmin;ymin;xmax;ymax;confidence;class;name;image", "20;10;60;30;0.5;0;tank;a.jpg"),
        ('"Filename","XMin","YMin","XMax","YMax","Score"', '"a.jpg","20","10","60","30","0.5"'),
    ],
)
def test_tables_of_other_tools_are_read(tmp_path: Path, header: str, row: str) -> None:
    path = written(tmp_path, "found.csv", f"{header}\r\n{row}\r\n")
    ((scene, detections),) = read_detections(path, TRUTH).items()
    assert (scene, detections.boxes.tolist(), detections.scores.tolist()) == ("a", [[20, 10, 60, 30]], [0.5])


@pytest.mark.parametrize("folder", ["", "labels/"])
@pytest.mark.parametrize("line", ["0 0.2 0.2 0.2 0.2 0.5", "0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3 0.5"])
def test_folders_of_yolo_are_read(tmp_path: Path, folder: str, line: str) -> None:
    (tmp_path / "labels").mkdir()
    written(tmp_path, f"{folder}a.txt", f"\n{line}\r\n")
    written(tmp_path, f"{folder}c.jpg.txt", "")
    ((scene, detections),) = read_detections(tmp_path, TRUTH).items()
    np.testing.assert_allclose(detections.boxes, [[20, 10, 60, 30]], rtol=1e-5)
    assert (scene, detections.scores.tolist()) == ("a", [0.5])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.2 0.2 0.2 0.2", "5 values; .*save_conf=True"),
        ("0 0.2 0.2 0.2 0.2 x", "a.txt:1: could not convert"),
        ("tank 0.2 0.2 0.2 0.2 0.5", "a.txt:1: invalid literal"),
    ],
)
def test_invalid_line_of_yolo_is_refused(tmp_path: Path, line: str, message: str) -> None:
    written(tmp_path, "a.txt", line)
    with pytest.raises(UserError, match=message):
        read_detections(tmp_path, TRUTH)


def test_detections_of_another_category_are_not_scored_as_tanks(tmp_path: Path) -> None:
    ships = written(tmp_path, "ships.json", [FOUND | {"category_id": 2}])
    with pytest.raises(
        UserError, match=r"1 category: 'ship' \(1\), and those of the ground truth are of 'tank';\n.*ship=-"
    ):
        read_detections(ships, TRUTH)
    both = written(tmp_path, "both.json", [FOUND, FOUND | {"category_id": 2}])
    with pytest.raises(UserError, match=r"2 categories: 'tank' .*, 'ship'"):
        read_detections(both, TRUTH)
    assert len(read_detections(both, TRUTH, {"ship": None})["a"].scores) == 1
    assert len(read_detections(both, TRUTH, {"ship": CLASS_NAME})["a"].scores) == 2


def test_single_category_without_a_name_is_taken_as_tanks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "found.json", [FOUND | {"category_id": 0}])
    with caplog.at_level("INFO"):
        assert len(read_detections(path, TRUTH)["a"].scores) == 1
    assert "category 0 is not in the ground truth" in caplog.text
