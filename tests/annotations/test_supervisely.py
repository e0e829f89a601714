import base64
import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from oil_storage.annotations import Annotations, formats
from oil_storage.errors import UserError


def read(folder: Path, *objects: dict[str, Any]) -> Annotations:
    for name in ("img", "ann"):
        (folder / "ds" / name).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 100)).save(folder / "ds" / "img" / "a.jpg")
    content = {"size": {"width": 200, "height": 100}, "objects": [{"classTitle": "tank", **one} for one in objects]}
    (folder / "ds" / "ann" / "a.jpg.json").write_text(json.dumps(content))
    assert formats.detect(folder) == "supervisely"
    return formats.read(folder)


def outline(kind: str, *points: list[float]) -> dict[str, Any]:
    return {"geometryType": kind, "points": {"exterior": points, "interior": []}}


def bitmap(pixels: np.ndarray, x: int, y: int) -> dict[str, Any]:
    png = cv2.imencode(".png", pixels)[1].tobytes()
    data = base64.b64encode(zlib.compress(png)).decode()
    return {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [x, y]}}


MASK = np.zeros((9, 12), np.uint8)
MASK[2:7, 3:11] = 255
COLOURS = np.stack([MASK] * 4, axis=-1)


@pytest.mark.parametrize(
    ("one", "box"),
    [
        (outline("rectangle", [10, 20], [30, 40]), (10, 20, 30, 40)),
        (outline("polygon", [10, 20], [30, 25], [20, 40]), (10, 20, 30, 40)),
        (bitmap(MASK, 50, 60), (53, 62, 61, 67)),
        (bitmap(COLOURS, 50, 60), (53, 62, 61, 67)),
    ],
)
def test_objects_become_boxes(tmp_path: Path, one: dict[str, Any], box: tuple[float, ...]) -> None:
    annotations = read(tmp_path, one)
    assert [record.box for record in annotations.records] == [box]
    assert annotations.images[0].path == tmp_path / "ds" / "img" / "a.jpg"


def test_points_are_left_out(tmp_path: Path) -> None:
    assert len(read(tmp_path, outline("point", [1, 2]), outline("line", [1, 2], [3, 4])).left_out) == 2


@pytest.mark.parametrize("data", ["!", "AAAA", base64.b64encode(zlib.compress(b"no PNG")).decode()])
def test_damaged_bitmap_is_an_error(tmp_path: Path, data: str) -> None:
    with pytest.raises(UserError, match=r"objects\[0\]: the bitmap is"):
        read(tmp_path, {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [0, 0]}})
