import json
from pathlib import Path

import pytest

from oil_storage.coco import CocoFile, CocoImage
from oil_storage.errors import UserError
from oil_storage.evaluation.ground_truth import read_coco


def test_file_that_is_no_coco_json_is_refused(tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match="2 images have 1 names"):
        read_coco(path)


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ({"bbox": ["2", "30", "15", "15"]}, r"annotations\[1\].bbox\[0\]: Input should be a valid number, not '2'"),
        ({"bbox": [2, 3, float("nan"), 4]}, r"annotations\[1\]: bbox .* not finite"),
        ({"bbox": [2, 3, -4, 4]}, r"annotations\[1\]: a box without area, not one object"),
        ({"iscrowd": 1}, r"annotations\[1\]: a crowd, not one object"),
        ({"image_id": 7}, r"annotations\[1\]: image_id 7 is not in its images"),
        ({"category_id": 2}, "has boxes of 2 categories"),
    ],
)
def test_annotation_that_is_not_one_object_is_refused(annotation: dict[str, object], said: str, tmp_path: Path) -> None:
    content = CocoFile.of_boxes([CocoImage(1, "a.jpg", 90, 90)], [[[5, 5, 9, 9], [20, 20, 30, 30]]]).to_dict()
    content["annotations"][1] |= annotation
    path = tmp_path / "scenes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=said):
        read_coco(path)


def test_two_images_of_one_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenes.json"
    CocoFile([CocoImage(1, f"{name}.jpg", 90, 90) for name in "ab"], []).save(path)
    with pytest.raises(UserError, match="2 images have 1 ids"):
        read_coco(path)
