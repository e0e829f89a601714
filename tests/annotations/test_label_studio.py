import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, formats
from oil_storage.errors import UserError
from tests.annotations.exports import label_studio_min, make_scenes, written

SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}


def region(kind: str, rotation: float = 0, **value: Any) -> dict[str, Any]:
    return {"type": kind, "value": {"rotation": rotation, kind: ["tank"], **value}, **SIZE}


def task(*results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    annotations = [{"result": result, "was_cancelled": False, **more} for result in results]
    return {"id": 1, "data": {"image": "/data/upload/4/0a1b2c3d-a.jpg"}, "annotations": annotations, "predictions": []}


def read(folder: Path, *tasks: dict[str, Any]) -> Annotations:
    Image.new("RGB", (200, 100)).save(folder / "a.jpg")
    (folder / "project.json").write_text(json.dumps(tasks))
    assert formats.detect(folder) == "label-studio"
    return formats.read(folder)


RECTANGLE = region("rectanglelabels", x=10, y=20, width=5, height=10)


@pytest.mark.parametrize(
    ("one", "box"),
    [
        (RECTANGLE, (20, 20, 30, 30)),
        (region("rectanglelabels", 90, x=50, y=20, width=10, height=40), (60, 20, 100, 40)),
        (region("ellipselabels", x=50, y=50, radiusX=10, radiusY=5), (80, 45, 120, 55)),
        (region("polygonlabels", points=[[10, 10], [20, 15], [12, 30]], closed=True), (20, 10, 40, 30)),
    ],
)
def test_regions_become_boxes(tmp_path: Path, one: dict[str, Any], box: tuple[float, ...]) -> None:
    annotations = read(tmp_path, task([one, {"type": "choices", "value": {"choices": ["sharp"]}}]))
    (record,) = annotations.records
    assert record.box == pytest.approx(box, abs=0.01)
    assert record.place == f"{tmp_path}/project.json: [0].annotations[0].result[0]"
    assert annotations.images[0].size == (200, 100)


def test_shape_with_its_labels_in_another_entry_is_read_once(tmp_path: Path) -> None:
    shape = {"x": 10, "y": 20, "width": 5, "height": 10, "rotation": 0}
    pair = [
        {"id": "k", "type": "rectangle", "value": shape, **SIZE},
        {"id": "k", "type": "labels", "value": {**shape, "labels": ["tank"]}, **SIZE},
    ]
    annotations = read(tmp_path, task(pair))
    assert [(record.class_name, record.box) for record in annotations.records] == [("tank", (20, 20, 30, 30))]
    assert annotations.left_out == []


def test_regions_without_box_or_label_are_left_out(tmp_path: Path) -> None:
    brush = region("brushlabels", format="rle", rle=[1])
    point = region("keypointlabels", x=1, y=2, width=0.5)
    bare = {"type": "rectangle", "value": {"x": 1, "y": 2, "width": 3, "height": 4}, **SIZE}
    annotations = read(tmp_path, task([brush, point, bare]))
    assert [reason for _, reason in annotations.left_out] == [
        "is a region of type brushlabels, which has no box",
        "is a region of type keypointlabels, which has no box",
        "has no label",
    ]


def test_one_annotation_of_a_task_is_read(tmp_path: Path) -> None:
    other = region("rectanglelabels", x=50, y=20, width=5, height=10)
    annotations = read(tmp_path, task([RECTANGLE], [other]))
    assert [record.box[0] for record in annotations.records] == [100]
    assert [finding.check for finding in annotations.findings] == ["several-annotations"]
    chosen = task([RECTANGLE], [other])
    chosen["annotations"][0]["ground_truth"] = True
    assert [record.box[0] for record in read(tmp_path, chosen).records] == [20]


@pytest.mark.parametrize("unlabelled", [task(), task([RECTANGLE], was_cancelled=True)])
def test_task_that_is_not_labelled_is_left_out_and_an_empty_one_is_not(
    tmp_path: Path, unlabelled: dict[str, Any]
) -> None:
    annotations = read(tmp_path, unlabelled)
    assert (annotations.images, annotations.findings[0].check) == ([], "unlabelled-task")
    assert [image.name for image in read(tmp_path, task([])).images] == ["a.jpg"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (task([region("rectanglelabels", x="1", y=2, width=3, height=4)]), r"result\[0\].value.x"),
        (task([region("polygonlabels", points=[[1, 2, 3]])]), r"result\[0\].value.points"),
        (task([{**RECTANGLE, "image_rotation": 90}]), "turned by 90 degrees"),
        ({"data": {"text": "a"}, "annotations": []}, r"\[0\]: names no image"),
    ],
)
def test_invalid_task_is_an_error(tmp_path: Path, content: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, content)


def test_a_region_id_that_is_a_list_is_refused(tmp_path: Path) -> None:
    written("label-studio")(make_scenes(tmp_path / "in")[:1], tmp_path / "source")
    file = tmp_path / "source" / "tasks.json"
    tasks = json.loads(file.read_text())
    tasks[0]["annotations"][0]["result"][0]["id"] = []
    file.write_text(json.dumps(tasks))
    with pytest.raises(UserError, match=r"tasks\.json.*id"):
        formats.read(tmp_path / "source")


def test_regions_of_json_min_are_read_without_original_width(tmp_path: Path) -> None:
    label_studio_min(make_scenes(tmp_path / "in")[:1], tmp_path / "source")
    file = tmp_path / "source" / "project-1.json"
    tasks = json.loads(file.read_text())
    del tasks[0]["label"][3]["original_width"]
    file.write_text(json.dumps(tasks))
    assert len(formats.read(tmp_path / "source").records) == 10
