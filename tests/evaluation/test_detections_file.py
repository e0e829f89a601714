import json
from pathlib import Path

import pytest

from oil_storage.errors import UserError
from oil_storage.evaluation.detections_file import read_detections

NAMES = {1: "a", 2: "b.v2"}


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_three_layouts_say_the_same(tmp_path: Path) -> None:
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
        found = read_detections(path, NAMES)
        assert list(found) == ["b.v2"]
        assert found["b.v2"].boxes.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14.5]]
        assert found["b.v2"].scores.tolist() == [0.5, 0.25]


def test_nothing_found_is_no_error(tmp_path: Path) -> None:
    assert read_detections(written(tmp_path, "none.json", []), {}) == {}
    assert read_detections(written(tmp_path, "none.csv", "scene,xmin,ymin,xmax,ymax,score\n"), {}) == {}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pkl", "", "detections are read from .json"),
        ("a.json", "{", "not json"),
        ("a.json", {"images": []}, "neither COCO with a score"),
        ("a.json", [{"image_id": 1, "bbox": [1, 2, 3, 4]}], "neither COCO with a score"),
        ("a.json", [{"image_id": 9, "bbox": [1, 2, 3, 4], "score": 1}], "result 0: image_id 9 is no image"),
        (
            "a.json",
            '[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": NaN}]',
            "result 0: a box or score that is no finite",
        ),
        ("a.json", [{"image_id": 1, "bbox": [1, 2, 0, 4], "score": 1}], "result 0: a box without area"),
        ("a.json", [{"image_id": 1, "bbox": "1234", "score": 1}], "result 0: a box or score that is no number"),
        (
            "a.json",
            [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": True}],
            "result 0: a box or score that is no number",
        ),
        ("a.json", "[" * 100_000, "not json"),
        (
            "a.json",
            {"images": [{"id": i, "file_name": f"{i}/a.jpg"} for i in (1, 2)], "annotations": []},
            "images of one name or id",
        ),
        ("a.csv", f"scene,xmin,ymin,xmax,ymax,score\n{'a' * 200_000},1,2,3,4,1\n", "not CSV .field larger"),
        ("a.csv", "xmin,ymin,xmax,ymax,score,scene\n1,2,3,4,1\n", "line 2: "),
        ("a.csv", "scene,xmin\na,1\n", "has no column ymin, xmax, ymax, score"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,3,4,94\n", "line 2: a score of 94; scores must be from 0"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,1e30,4,1\n", "line 2: a box that lies in no scene"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,3,4,1\na,1,2,x,4,5\n", "line 3: could not convert"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,1,2,3,4,nan\n", "line 2: a box or score that is no finite"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,4,2,3,4,1\n", "line 2: a box without area"),
        ("a.csv", "scene,xmin,ymin,xmax,ymax,score\na,4,2\n", "line 2: "),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(name: str, content: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        read_detections(written(tmp_path, name, content), NAMES)


def test_results_by_number_need_a_ground_truth_with_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}])
    with pytest.raises(UserError, match="name that as ground truth"):
        read_detections(path, {})


def test_text_that_is_not_utf_8_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("scene,xmin,ymin,xmax,ymax,score\nanläge,1,2,3,4,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"not UTF-8 text .*; save it as UTF-8"):
        read_detections(path, {})
