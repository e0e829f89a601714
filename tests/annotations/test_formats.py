import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from oil_storage.annotations import formats
from oil_storage.audit.records import audit
from oil_storage.errors import UserError
from oil_storage.files import partial_path
from oil_storage.scene import CLASS_NAME, Scene
from tests.labelled_scenes import assert_same_scenes, make_scenes
from tests.partial_files import left_partial
from tests.tf_records import example, image_features, write_records


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "images")


def read_scenes(source: Path) -> list[Scene]:
    scenes, findings = audit(formats.read(source), {CLASS_NAME: CLASS_NAME})
    # what is true of the scenes, and nothing of what was bent on the way
    assert {finding.check for finding in findings} <= {"no-boxes", "tiny", "aspect", "near-duplicate"}
    return scenes


def test_conversion_through_all_formats_keeps_all_boxes(scenes: list[Scene], tmp_path: Path) -> None:
    assert len(formats.WRITABLE) >= 5
    converted = scenes
    for name in (*formats.WRITABLE, *reversed(formats.WRITABLE)):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}_{name}"
        formats.write(converted, folder, name)
        assert formats.detect(folder) == name
        converted = read_scenes(folder)
        assert_same_scenes(converted, scenes)


@pytest.mark.parametrize("name", formats.WRITABLE)
def test_second_conversion_changes_nothing(tmp_path: Path, name: str) -> None:
    for turn in range(3):
        source = tmp_path / str(turn - 1)
        formats.write(read_scenes(source) if turn else make_scenes(tmp_path / "s", seed=1), tmp_path / str(turn), name)
    for file in (path for path in (tmp_path / "1").rglob("*") if path.is_file()):
        assert file.read_bytes() == (tmp_path / "2" / file.relative_to(tmp_path / "1")).read_bytes(), file


@pytest.mark.parametrize("name", formats.WRITABLE)
def test_tfrecord_converts_to_every_format(scenes: list[Scene], tmp_path: Path, name: str) -> None:
    records = []
    for scene in scenes:
        size, boxes = (scene.width, scene.height), scene.boxes.tolist()
        records.append(example(image_features(scene.image.read_bytes(), scene.image.name, size, boxes, CLASS_NAME)))
    for shard, packed in enumerate(("", ".gz")):
        write_records(tmp_path / "tf" / f"train.record-0000{shard}-of-00002{packed}", records[shard::2])
    assert formats.detect(tmp_path / "tf") == "tfrecord"
    formats.write(read_scenes(tmp_path / "tf"), tmp_path / "out", name)
    assert_same_scenes(read_scenes(tmp_path / "out"), scenes)


def test_detect_rejects_no_format_and_several_formats(scenes: list[Scene], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no known annotation format") as error:
        formats.detect(tmp_path / "empty")
    assert all(name in str(error.value) for name in formats.FORMATS)
    formats.write(scenes, tmp_path / "both", "coco")
    (tmp_path / "both" / "annotations.csv").write_text("image_id,class,bounds\n")
    with pytest.raises(UserError, match=r"several formats match \(airbus, coco\); choose one with --format"):
        formats.read(tmp_path / "both")
    assert len(formats.read(tmp_path / "both", "coco").images) == len(scenes)


@pytest.mark.parametrize(("name", "words"), [("nowhere", "no such folder"), ("file", "not a folder")])
def test_source_must_be_a_folder(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=words):
        formats.detect(tmp_path / name)


def test_detect_ignores_unrelated_and_hidden_files(tmp_path: Path) -> None:
    for name, text in {
        "manifest.json": '{"images_sha256": {}}',
        "a.tif.aux.xml": "<PAMDataset/>",
        "annotations.xml": "<annotations><image/></annotations>",
        ".labels/a.txt": "0 0.5 0.5 1 1",
        "._a.geojson": "{}",
        ".cache/a.xml": "<annotation/>",
        "notes.records.txt": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="no known annotation format"):
        formats.detect(tmp_path)


def test_out_appears_only_if_complete(scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from oil_storage.annotations import coco

    def fail(scenes: Sequence[Scene], out: Path) -> None:
        (out / "half").touch()
        assert not (tmp_path / "out").exists()
        raise OSError("disk full")

    monkeypatch.setattr(coco, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        formats.write(scenes, tmp_path / "out", "coco")
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    (left_partial(tmp_path / "out") / "stale").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    formats.write(scenes, tmp_path / "out", "coco")
    assert sorted(os.listdir(tmp_path / "out")) == ["annotations.json", "images"]
    assert os.listdir(tmp_path) == ["out"]


def test_write_rejects_a_folder_that_is_not_empty(scenes: list[Scene], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(UserError, match="not empty"):
        formats.write(scenes, tmp_path / "out", "coco")
    with pytest.raises(UserError, match="is a file"):
        formats.write(scenes, tmp_path / "out" / "mine", "coco")
    assert os.listdir(tmp_path) == ["out"]


def test_write_keeps_the_partial_folder_of_a_running_process(scenes: list[Scene], tmp_path: Path) -> None:
    host = partial_path(tmp_path / "out").name.split(".")[2]
    partial = tmp_path / f".out.{host}.{os.getppid()}.partial"
    partial.mkdir()
    formats.write(scenes, tmp_path / "out", "coco")
    assert sorted(os.listdir(tmp_path)) == [partial.name, "out"]
    assert sorted(os.listdir(tmp_path / "out")) == ["annotations.json", "images"]


def test_write_keeps_a_folder_that_another_process_wrote_meanwhile(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oil_storage.annotations import coco

    def write(scenes: list[Scene], folder: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "of another").touch()

    monkeypatch.setattr(coco, "write", write)
    with pytest.raises(UserError, match="not empty"):
        formats.write(scenes, tmp_path / "out", "coco")
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == ["of another"]


def test_write_follows_a_link_to_an_empty_folder(scenes: list[Scene], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "there")
    formats.write(scenes, tmp_path / "out", "yolo")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "there" / "data.yaml").is_file()
