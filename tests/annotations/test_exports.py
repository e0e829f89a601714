"""Read the same scenes from every export, also nested or incomplete: no label is lost without a message."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from oil_storage.annotations import formats
from oil_storage.annotations.images import images_in
from oil_storage.audit.records import audit
from oil_storage.errors import UserError
from oil_storage.findings import Severity
from oil_storage.scene import CLASS_NAME, Scene
from tests.annotations.exports import EXPORTS, NAMES, Boxes, boxes_of, coco, make_scenes

TEXTS = {".txt", ".json", ".csv", ".xml", ".yaml", ".geojson", ".geojsonl", ".names", ".labels", ".data"}
LABELS = {".txt", ".json", ".csv", ".xml", ".geojson", ".geojsonl", ".tfrec", ".gpkg", ".shp", ".fgb"}
ONE_FILE = [name for name, (kind, _) in EXPORTS.items() if kind in ("coco", "cvat", "label-studio", "xview", "vector")]
ONE_FILE += ["table", "geojson of all scenes"]
PER_IMAGE = [name for name in EXPORTS if name not in (*ONE_FILE, "airbus", "tfrecord")]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "images")


@pytest.fixture(scope="module")
def expected(scenes: list[Scene]) -> Boxes:
    return {scene.scene_id: sorted(tuple(row) for row in scene.boxes.tolist()) for scene in scenes}


def files_of(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    assert found
    return found


def nest(folder: Path) -> None:
    """Move all files of a data set into a subfolder."""
    folder.rename(folder.with_name("moved"))
    folder.mkdir()
    folder.with_name("moved").rename(folder / "site7")


def nest_each(folder: Path) -> None:
    """Move two of three images, with their label files, into a subfolder of their folder."""
    for path in files_of(folder):
        if any(name in path.stem for name in NAMES[1:]):
            (path.parent / "site7").mkdir(exist_ok=True)
            path.rename(path.parent / "site7" / path.name)


def use_capitals(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        name = path.name.capitalize() if path.is_dir() else f"{path.stem}{path.suffix.upper()}"
        path.rename(path.with_name(name))


def save_on_windows(folder: Path) -> None:
    for path in files_of(folder):
        if path.suffix in TEXTS:
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def make_ids_texts(folder: Path) -> None:
    def texts(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: texts(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [texts(item) for item in value]
        return str(value) if key == "id" or key.endswith("_id") else value

    for path in files_of(folder):
        if path.suffix in (".json", ".geojson"):
            path.write_text(json.dumps(texts(json.loads(path.read_text()))))


CHANGES = (None, nest, nest_each, use_capitals, save_on_windows, make_ids_texts)
FAST = ("coco of CVAT", "yolo", "voc of CVAT")
"""Exports whose tests always run; those of the others would take too long."""
ALL = [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in EXPORTS]


@pytest.mark.parametrize(
    ("export", "change"),
    [
        pytest.param(name, change, marks=[] if name in FAST or not change else pytest.mark.slow)
        for name in EXPORTS
        for change in CHANGES
    ],
)
def test_every_export_gives_the_same_boxes(
    tmp_path: Path, scenes: list[Scene], expected: Boxes, export: str, change: Any
) -> None:
    kind, write = EXPORTS[export]
    write(scenes, tmp_path / "export")
    if change:
        change(tmp_path / "export")
    assert formats.detect(tmp_path / "export") == kind
    boxes, findings = boxes_of(tmp_path / "export")
    assert boxes == expected
    assert not [finding for finding in findings if finding.startswith("error") or "left out" in finding]


@pytest.mark.parametrize("export", [one for one in ALL if one.values[0] in PER_IMAGE])
def test_image_without_label_file_is_named(tmp_path: Path, scenes: list[Scene], expected: Boxes, export: str) -> None:
    EXPORTS[export][1](scenes, tmp_path / "export")
    removed = [path for path in files_of(tmp_path / "export") if "bravo" in path.name and path.suffix in LABELS]
    assert len(removed) == 1
    removed[0].unlink()
    boxes, findings = boxes_of(tmp_path / "export")
    assert boxes == {**expected, "bravo": []}
    assert any("bravo" in finding for finding in findings)


@pytest.mark.parametrize("export", [one for one in ALL if one.values != ("tfrecord",)])
def test_missing_image_is_an_error(tmp_path: Path, scenes: list[Scene], expected: Boxes, export: str) -> None:
    EXPORTS[export][1](scenes, tmp_path / "export")
    (removed,) = (path for path in files_of(tmp_path / "export") if path.name == "bravo.tif")
    removed.unlink()
    if export in ("geojson", "geojson sequence"):  # the file of the missing image fits no other
        with pytest.raises(UserError, match=r"bravo.*no image shows any of the 10 polygons"):
            boxes_of(tmp_path / "export")
        return
    boxes, findings = boxes_of(tmp_path / "export")
    assert boxes == {name: boxes for name, boxes in expected.items() if name != "bravo"}
    # polygons of a file of several scenes name no image
    assert any("bravo" in finding or "no image shows" in finding for finding in findings)


@pytest.mark.parametrize("numbers", [("00000", "00002"), ("0001", "0003"), ("0",), ("3",)])
@pytest.mark.parametrize("export", [one for one in ALL if one.values[0] in ONE_FILE])
def test_missing_shard_is_an_error(tmp_path: Path, scenes: list[Scene], export: str, numbers: tuple[str, ...]) -> None:
    kind, write = EXPORTS[export]
    write(scenes, tmp_path / "export")
    (first,) = [
        path
        for path in files_of(tmp_path / "export")
        if path.suffix in LABELS and (kind != "label-studio" or path.suffix == ".json")
    ]
    for path in files_of(tmp_path / "export"):
        if path.stem == first.stem:  # a shapefile has several files
            for number in numbers:
                separator = "-" if len(number) == 5 else "_"
                name = f"part{separator}{number}{separator}of{separator}{'3'.zfill(len(number))}{path.suffix}"
                shutil.copyfile(path, path.with_name(name))
            path.unlink()
    _, findings = audit(formats.read(tmp_path / "export"), {CLASS_NAME: CLASS_NAME})
    (missing,) = [finding for finding in findings if finding.check == "missing-shard"]
    assert missing.severity == Severity.ERROR
    assert f"only {len(numbers)} of 3 shards" in missing.problem


def test_tiles_that_are_numbered_like_shards_are_not_shards(tmp_path: Path, scenes: list[Scene]) -> None:
    for scene in scenes[:2]:
        name = f"{scene.scene_id}_1_of_9"
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        shutil.copyfile(scene.image, tmp_path / "images" / f"{name}.tif")
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert not [finding for finding in formats.read(tmp_path).findings if finding.check == "missing-shard"]


def test_unread_file_of_the_same_type_is_named(tmp_path: Path, scenes: list[Scene]) -> None:
    coco(scenes, tmp_path)
    (tmp_path / "annotations" / "more.json").touch()
    findings = formats.read(tmp_path).findings
    assert [(one.check, Path(one.place).name) for one in findings] == [("unread-file", "more.json")]


def test_whole_numbers_may_be_floats(tmp_path: Path, scenes: list[Scene], expected: Boxes) -> None:
    coco(scenes, tmp_path, number=float)
    assert boxes_of(tmp_path)[0] == expected


@pytest.mark.parametrize(
    "written", ["/data/local-files/?d=tanks/two%20words.png", "C:\\x\\two words.png", "TWO WORDS.PNG"]
)
def test_images_are_found_by_the_names_that_tools_write(tmp_path: Path, scenes: list[Scene], written: str) -> None:
    coco(scenes[:1], tmp_path)
    (image,) = images_in(tmp_path / "images" / "default")
    image.rename(tmp_path / "images" / "default" / "two words.png")
    file = tmp_path / "annotations" / "instances_default.json"
    file.write_text(file.read_text().replace('"alpha.tif"', json.dumps(written)))
    assert [image.path and image.path.name for image in formats.read(tmp_path).images] == ["two words.png"]


def test_two_images_that_fit_a_name_equally_are_an_error(tmp_path: Path, scenes: list[Scene]) -> None:
    coco(scenes, tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copyfile(scenes[0].image, tmp_path / folder / "alpha.tif")
    (tmp_path / "images" / "default" / "alpha.tif").unlink()
    with pytest.raises(UserError, match=r"2 images have the name 'alpha', for example .*one.* and .*two"):
        formats.read(tmp_path)
