from pathlib import Path

import numpy as np
import pytest

from oil_storage.coco import CocoAnnotation, CocoFile, CocoImage
from oil_storage.errors import UserError


def test_saved_boxes_equal_the_loaded_ones(tmp_path: Path) -> None:
    images = [CocoImage(1, "a.tif", 90, 80, "a", 1.5), CocoImage(2, "b.tif", 90, 80, "b", x=3, y=4)]
    boxes = [np.array([[1, 2, 4.5, 6], [0.1, 0, 9, 9]], np.float32), np.zeros((0, 4), np.float32)]
    content = CocoFile.of_boxes(images, boxes)
    content.save(tmp_path / "x.json")
    assert CocoFile.load(tmp_path / "x.json") == content
    assert content.annotations[0] == CocoAnnotation(1, [1, 2, 3.5, 4], 14, 0, id=1, category_id=1)
    np.testing.assert_allclose([annotation.box for annotation in content.annotations], boxes[0])
    assert "gsd" not in content.to_dict()["images"][1]


def test_is_rounded_removes_floating_point_errors() -> None:
    annotation = CocoFile.of_boxes([CocoImage(1, "a.tif")], [[[0.1, 0, 12.3, 3.1]]], is_rounded=True).annotations[0]
    assert (annotation.bbox, annotation.area) == ([0.1, 0, 12.2, 3.1], 37.82)


def test_an_invalid_entry_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": [], "file_name": "b.jpg"}], "annotations": []}'
    )
    with pytest.raises(UserError, match=r"x\.json: images\[1\]\.id: Input should be a valid integer, not \[\];"):
        CocoFile.load(tmp_path / "x.json")
