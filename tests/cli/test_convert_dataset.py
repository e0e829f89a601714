import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from oil_storage.annotations import formats
from oil_storage.audit.records import audit
from oil_storage.cli.convert_dataset import main
from oil_storage.scene import CLASS_NAME
from tests.cli.stopped_tools import start_and_wait, stop_by
from tests.labelled_scenes import assert_same_scenes, make_scenes
from tests.raw_data import write_raw_data
from tests.tf_records import example, framed, image_features

TOOL = Path(__file__).parents[2] / "tools" / "convert_dataset.py"


def test_convert_writes_the_requested_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = make_scenes(tmp_path / "images")
    formats.write(scenes, tmp_path / "coco", "coco")
    assert main([str(tmp_path / "coco"), str(tmp_path / "voc"), "--to", "voc"]) == 0
    boxes = sum(len(scene.boxes) for scene in scenes)
    printed, messages = capsys.readouterr()
    assert printed == f"wrote {len(scenes)} scenes with {boxes} boxes to {tmp_path / 'voc'} (voc)\n"
    assert "image without boxes" in messages
    assert_same_scenes(audit(formats.read(tmp_path / "voc"), {CLASS_NAME: CLASS_NAME})[0], scenes)


def renamed(source: Path, *names: str) -> Path:
    """Assign the class names in turn to the boxes of ``source/annotations.csv``."""
    header, *rows = (source / "annotations.csv").read_text().splitlines()
    rows = [row.replace(CLASS_NAME, names[index % len(names)]) for index, row in enumerate(rows)]
    (source / "annotations.csv").write_text("\n".join([header, *rows]) + "\n")
    return source


def test_class_map_renames_or_drops_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = renamed(write_raw_data(tmp_path / "raw", scenes=2, size=128, tanks=6), "big tank", "small tank", "ship")
    arguments = [str(source), str(tmp_path / "out"), "--to", "coco", "--class-map"]
    assert main([*arguments, f"big tank={CLASS_NAME},small tank={CLASS_NAME}"]) == 2
    error = capsys.readouterr().err
    message = "annotations.csv:4: class 'ship' (4 boxes) is unknown; --class-map ship=oil-storage-tank makes it a tank"
    assert error.count(message) == 2
    assert "1 error in total" in error
    assert os.listdir(tmp_path) == ["raw"]
    assert main([*arguments, f"big tank={CLASS_NAME},small tank={CLASS_NAME},ship=-"]) == 0
    assert "--class-map: 4 boxes of class 'ship' left out" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "annotations.json").read_text())["annotations"]) == 8


@pytest.mark.parametrize(
    ("source", "extra", "words"),
    [
        ("nowhere", [], "nowhere: no such folder"),
        ("empty", [], "no known annotation format"),
        ("raw", ["--format", "voc"], "no voc annotations; expected *.xml"),
        ("raw", ["--class-map", "ship"], "--class-map ship"),
        ("raw", [], "out: is not empty"),
        ("raw/images", ["--format", "coco"], "no coco annotations; expected *.json"),
    ],
)
def test_bad_input_returns_2_and_leaves_no_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, extra: list[str], words: str
) -> None:
    write_raw_data(tmp_path / "raw", scenes=1, size=64, tanks=2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").mkdir()
    if "not empty" in words:
        (tmp_path / "out" / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    assert main([str(tmp_path / source), str(tmp_path / "out"), "--to", "coco", *extra]) == 2
    error = capsys.readouterr().err.rpartition("error: ")[2]
    assert words in error
    assert error.count("\n") <= 3
    assert sorted(tmp_path.rglob("*")) == before


def test_allow_ignores_errors_and_strict_stops_at_warnings(tmp_path: Path) -> None:
    source = write_raw_data(tmp_path / "raw", scenes=3, size=128, tanks=4)
    (source / "images" / "scene_1.jpg").unlink()
    assert main([str(source), str(tmp_path / "out"), "--to", "coco"]) == 2
    assert main([str(source), str(tmp_path / "out"), "--to", "coco", "--allow"]) == 0
    assert sorted(os.listdir(tmp_path / "out" / "images")) == ["scene_0.jpg", "scene_2.jpg"]
    (source / "annotations.csv").write_text('image_id,class,bounds\nscene_0,oil-storage-tank,"(40, 40, 20, 20)"\n')
    assert main([str(source), str(tmp_path / "again"), "--to", "coco", "--strict"]) == 2
    assert not (tmp_path / "again").exists()
    assert main([str(source), str(tmp_path / "again"), "--to", "coco"]) == 0


@pytest.mark.parametrize("out", ["raw", "raw/new", "."])
def test_convert_refuses_an_output_inside_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    write_raw_data(tmp_path / "raw", scenes=1, size=64, tanks=2)
    before = sorted(tmp_path.rglob("*"))
    assert main([str(tmp_path / "raw"), str(tmp_path / out), "--to", "coco"]) == 2
    assert "the source" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_leaves_no_extracted_images(tmp_path: Path, number: signal.Signals, status: int) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 48)).save(picture, "PNG")
    record = example(image_features(picture.getvalue(), "a.png", (64, 48), [(2, 3, 20, 30)], CLASS_NAME))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train.record").write_bytes(30_000 * framed(record))
    (tmp_path / "temporary").mkdir()
    tool = start_and_wait(
        [TOOL, tmp_path / "raw", tmp_path / "out", "--to", "coco"],
        lambda: any((tmp_path / "temporary").rglob("*.png")),
        {**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    stop_by(tool, number, status)
    assert not list((tmp_path / "temporary").iterdir())
    assert sorted(os.listdir(tmp_path)) == ["raw", "temporary"]


def test_tfrecord_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["source", "out", "--to", "tfrecord"])
    assert stop.value.code == 2
    assert "invalid choice: 'tfrecord'" in capsys.readouterr().err


def test_parser_imports_no_heavy_packages() -> None:
    code = "import sys; from oil_storage.cli.convert_dataset import build_parser; build_parser(); "
    code += "print(sorted({'numpy', 'rasterio', 'PIL', 'google', 'torch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("to", ["cvat", "label-studio", "labelme"])
def test_detections_become_labels_to_correct_and_are_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    scenes = make_scenes(tmp_path / "images")
    rows = [(scene.scene_id, *box, score) for scene in scenes for box in scene.boxes.tolist() for score in (0.75, 0.25)]
    lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "found.csv").write_text(f"scene,xmin,ymin,xmax,ymax,score\n{lines}")
    arguments = [str(tmp_path / "images"), str(tmp_path / "tasks"), "--to", to]
    assert main([*arguments, "--detections", str(tmp_path / "found.csv"), "--score-thr", "0.5"]) == 0
    boxes = sum(len(scene.boxes) for scene in scenes)
    assert f"wrote {len(scenes)} scenes with {boxes} boxes" in capsys.readouterr().out
    if to == "label-studio":  # what the tool exports after the predictions were accepted
        tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
        assert {region["score"] for task in tasks for region in task["predictions"][0]["result"]} == {0.75}
        accepted = [{"data": task["data"], "annotations": task["predictions"]} for task in tasks]
        (tmp_path / "tasks" / "tasks.json").write_text(json.dumps(accepted))
    corrected = audit(formats.read(tmp_path / "tasks"), {CLASS_NAME: CLASS_NAME})[0]
    assert_same_scenes(corrected, scenes)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--score-thr", "0.5"], "--score-thr needs --detections"),
        (["--detections", "nothing.csv"], "nothing.csv: no such file"),
        (["--detections", "found.csv", "--format", "voc"], "--format has no effect"),
        (["--detections", "found.csv"], "none of its scenes"),
    ],
)
def test_unusable_detections_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, extra: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw_data(tmp_path / "raw", scenes=1, size=64, tanks=2)
    (tmp_path / "found.csv").write_text("scene,xmin,ymin,xmax,ymax,score\nother,1,2,3,4,0.5\n")
    assert main(["raw", "out", "--to", "cvat", *extra]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_class_map_leaves_out_all_other_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = renamed(write_raw_data(tmp_path / "raw", scenes=2, size=128, tanks=6), "oil tank", "car", "ship")
    assert main([str(source), str(tmp_path / "out"), "--to", "coco", "--class-map", "*=-"]) == 0
    assert "wrote 2 scenes with 4 boxes" in capsys.readouterr().out
