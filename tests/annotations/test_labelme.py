import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, formats
from oil_storage.errors import UserError


def read(folder: Path, *shapes: dict[str, Any], **more: Any) -> Annotations:
    Image.new("RGB", (200, 100)).save(folder / "a.jpg")
    content = {"version": "5.5.0", "shapes": shapes, "imagePath": "..\\pictures\\a.jpg", "imageData": None, **more}
    (folder / "a.json").write_text(json.dumps(content))
    assert formats.detect(folder) == "labelme"
    return formats.read(folder)


def shape(points: Any, kind: str | None = "rectangle") -> dict[str, Any]:
    return {"label": "tank", "points": points, "shape_type": kind, "group_id": None, "flags": {}}


@pytest.mark.parametrize(
    ("one", "box"),
    [
        (shape([[10.5, 20], [30, 40]]), (10.5, 20, 30, 40)),
        (shape([[30, 40], [10.5, 20]]), (10.5, 20, 30, 40)),
        (shape([[10, 20], [30, 20], [30, 40], [10, 40]]), (10, 20, 30, 40)),
        (shape([[10, 20], [30, 25], [20, 40]], "polygon"), (10, 20, 30, 40)),
        (shape([[50, 40], [53, 44]], "circle"), (45, 35, 55, 45)),
        (shape([[10, 20], [20, 10], [30, 20], [20, 30]], "rotation"), (10, 10, 30, 30)),
    ],
)
def test_shapes_become_boxes(tmp_path: Path, one: dict[str, Any], box: tuple[float, ...]) -> None:
    (record,) = read(tmp_path, one, imageWidth=200, imageHeight=100).records
    assert record.box == pytest.approx(box)
    assert (record.class_name, record.place) == ("tank", f"{tmp_path}/a.json: shapes[0]")


def test_points_and_lines_are_left_out(tmp_path: Path) -> None:
    annotations = read(tmp_path, shape([[1, 2]], "point"), shape([[1, 2], [3, 4]], "line"), shape([[1, 2]]))
    assert annotations.records == []
    assert len(annotations.left_out) == 3


@pytest.mark.parametrize(
    ("one", "words"),
    [(shape([[1]]), r"shapes\[0\].points\[0\]"), (shape([["1", 2]]), "points"), (shape([]), "points"), ({}, "label")],
)
def test_invalid_shape_is_an_error(tmp_path: Path, one: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=rf"a\.json: .*{words}"):
        read(tmp_path, one)


def test_image_that_is_only_in_the_file_is_an_error(tmp_path: Path) -> None:
    read(tmp_path, imageData="aGVsbG8=")
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match="its copy in imageData is not read"):
        formats.read(tmp_path)
