import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, formats
from oil_storage.errors import UserError


def read(folder: Path, *properties: dict[str, Any]) -> Annotations:
    Image.new("RGB", (200, 100)).save(folder / "100.tif")
    features = [{"type": "Feature", "properties": one, "geometry": None} for one in properties]
    (folder / "xView_train.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert formats.detect(folder) == "xview"
    return formats.read(folder)


TANK = {"bounds_imcoords": "10,20,30,40", "image_id": "100.tif", "type_id": 86}


def test_boxes_are_read_from_the_properties(tmp_path: Path) -> None:
    annotations = read(tmp_path, TANK, {**TANK, "type_id": 18}, {**TANK, "image_id": "7.tif"})
    assert [(record.image, record.class_name, record.box) for record in annotations.records] == [
        ("100.tif", "Storage Tank", (10, 20, 30, 40)),
        ("100.tif", "18", (10, 20, 30, 40)),
        ("7.tif", "Storage Tank", (10, 20, 30, 40)),
    ]
    assert [image.path for image in annotations.images] == [tmp_path / "100.tif", None]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"bounds_imcoords": "1,2,3"}, r"features\[0\]: bounds_imcoords is '1,2,3'"), ({"image_id": 4}, "image_id")],
)
def test_invalid_feature_is_an_error(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, {**TANK, **changes})
