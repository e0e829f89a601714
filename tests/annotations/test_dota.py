from pathlib import Path

import pytest
from PIL import Image

from oil_storage.annotations import Annotations, formats
from oil_storage.audit.records import audit
from oil_storage.errors import UserError

OBJECT = "10 20 30.5 20 30.5 40 10 40 storage-tank 0"


def read(folder: Path, *lines: str) -> Annotations:
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(exist_ok=True)
    Image.new("RGB", (200, 100)).save(folder / "images" / "P0001.png")
    (folder / "labelTxt" / "P0001.txt").write_text("\n".join(lines))
    assert formats.detect(folder) == "dota"
    return formats.read(folder)


def test_objects_and_the_ground_resolution_are_read(tmp_path: Path) -> None:
    annotations = read(tmp_path, "imagesource:GoogleEarth", "gsd:0.15", OBJECT, "0 5 5 0 10 5 5 10 ship 1")
    assert [(record.class_name, record.box) for record in annotations.records] == [
        ("storage-tank", (10, 20, 30.5, 40)),
        ("ship", (0, 0, 10, 10)),
    ]
    assert [finding.check for finding in annotations.findings] == ["difficult", "outline"]
    (scene,), _ = audit(annotations, {"ship": None})
    assert (scene.gsd, scene.resolution) == (0.15, (0.15, 0.15))


@pytest.mark.parametrize("header", [[], ["gsd:null"], ["gsd:None", ""], ["imagesource:x", "gsd:"]])
def test_ground_resolution_may_be_unknown(tmp_path: Path, header: list[str]) -> None:
    annotations = read(tmp_path, *header, OBJECT)
    assert (annotations.images[0].gsd, len(annotations.records)) == (None, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gsd:fine", "P0001.txt:2: gsd is 'fine'"),
        ("gsd:-1", "gsd is '-1'"),
        ("1 2 3 4 5 6 7 tank 0", "P0001.txt:2: could not convert"),
        ("1 2 3 4", "4 values"),
    ],
)
def test_invalid_line_is_an_error(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, OBJECT, line)
