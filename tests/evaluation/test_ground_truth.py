import json
from pathlib import Path

import pytest
from PIL import Image

from oil_storage.coco import CocoFile, CocoImage
from oil_storage.errors import UserError
from oil_storage.evaluation.ground_truth import read_coco


def test_invalid_coco_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenes.json"
    path.write_text('{"images": [{"id": 1}], "annotations": []}')
    with pytest.raises(UserError, match=r"scenes.json: images\[0\].file_name: Field required"):
        read_coco(path)
    image = {"width": 9, "height": 9}
    path.write_text(
        json.dumps(
            {"images": [{"id": i, "file_name": n, **image} for i, n in ((1, "a.jpg"), (2, "a.png"))], "annotations": []}
        )
    )
    with pytest.raises(UserError, match="same file name"):
        read_coco(path)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"bbox": ["2", "30", "15", "15"]}, r"annotations\[1\].bbox\[0\]: Input should be a valid number, not '2'"),
        ({"bbox": [2, 3, float("nan"), 4]}, r"annotations\[1\]: bbox .* is not finite"),
        ({"bbox": [2, 3, -4, 4]}, r"annotations\[1\]: bbox .* has no area; correct"),
        ({"iscrowd": 1}, r"annotations\[1\]: iscrowd is set"),
        ({"image_id": 7}, r"annotations\[1\]: image_id 7 is not in images"),
        ({"category_id": 2}, "contains boxes of 2 categories"),
    ],
)
def test_invalid_annotation_is_refused(annotation: dict[str, object], message: str, tmp_path: Path) -> None:
    content = CocoFile.of_boxes([CocoImage(1, "a.jpg", 90, 90)], [[[5, 5, 9, 9], [20, 20, 30, 30]]]).to_dict()
    content["annotations"][1] |= annotation
    path = tmp_path / "scenes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_coco(path)


def test_repeated_image_id_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenes.json"
    CocoFile([CocoImage(1, f"{name}.jpg", 90, 90) for name in "ab"], []).save(path)
    with pytest.raises(UserError, match="two images have the same id"):
        read_coco(path)


def several(tmp_path: Path) -> Path:
    boxes = [{"image_id": 1, "category_id": kind, "bbox": [5 * kind, 5, 20, 20]} for kind in (1, 2, 2)]
    categories = [{"id": 1, "name": "Storage tank"}, {"id": 2, "name": "ship"}]
    path = tmp_path / "scenes.json"
    images = [{"id": 1, "file_name": "pictures/a.png"}]
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return path


def test_size_is_read_from_the_image_if_it_is_not_stated(tmp_path: Path) -> None:
    path = several(tmp_path)
    with pytest.raises(UserError, match=r"images\[0\]: has no width or height, and .*a.png was not found; .*--images"):
        read_coco(path, {"ship": None})
    Image.new("RGB", (90, 60)).save(tmp_path / "a.png")
    for images in ({}, {"a": tmp_path / "a.png"}):
        (scene,) = read_coco(path, {"ship": None}, images).scenes.values()
        assert (scene.width, scene.height) == (90, 60)


def test_class_map_says_which_categories_are_tanks(tmp_path: Path) -> None:
    Image.new("RGB", (90, 60)).save(tmp_path / "a.png")
    path = several(tmp_path)
    with pytest.raises(UserError, match=r"2 categories: 'Storage tank' \(1\), 'ship' \(2\);\n.*ship=-"):
        read_coco(path)
    truth = read_coco(path, {"ship": None})
    assert truth.scenes["a"].truth.tolist() == [[5, 5, 25, 25]]
    assert truth.tanks == {"Storage tank"}


def test_single_category_is_tanks_by_any_name_unless_the_class_map_names_it(tmp_path: Path) -> None:
    content = CocoFile.of_boxes([CocoImage(1, "a.jpg", 90, 90)], [[[5, 5, 9, 9]]]).to_dict()
    content["categories"][0]["name"] = "thing"
    path = tmp_path / "scenes.json"
    path.write_text(json.dumps(content))
    for class_map, boxes in (({}, 1), ({"ship": None}, 1), ({"thing": None}, 0)):
        assert len(read_coco(path, class_map).scenes["a"].truth) == boxes
