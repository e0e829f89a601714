import errno
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from oil_storage import shipped
from oil_storage.annotations.images import find_scenes
from oil_storage.cli import detect as detect_module
from oil_storage.cli.detect import command, main
from oil_storage.cli.export import main as export
from oil_storage.cli.train import main as train
from oil_storage.errors import UserError
from oil_storage.imagery import SceneImage, read_pixels
from oil_storage.inference.scene_detections import SceneDetections
from oil_storage.inference.scene_files import scene_picture
from tests.tiny_training import write_config, write_data


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Return the config and the checkpoint, and the folder of images."""
    folder = tmp_path_factory.mktemp("detect")
    config = write_config(folder, write_data(folder))
    assert train([str(config), "--work-dir", str(folder / "work")]) == 0
    return [str(config), str(folder / "work" / "iter_8.pth")], folder / "raw" / "images"


FLAGS = ["--score-thr", "0.01", "--tile", "64", "--overlap", "16"]


def test_finished_scenes_are_skipped_on_re_runs(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = trained
    argv = [*model, str(images), "--out", str(tmp_path / "out"), *FLAGS]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [entry["scene"] for entry in summary["scenes"]] == [f"scene_{index}" for index in range(4)]
    assert summary["made_by"]["score_threshold"] == 0.01
    total = sum(entry["tanks"] for entry in summary["scenes"])
    assert f"all    {total:>8}" in printed
    for entry in summary["scenes"]:
        features = json.loads((tmp_path / "out" / f"{entry['scene']}.geojson").read_text())["features"]
        assert len(features) == entry["tanks"] == sum(site["tanks"] for site in entry["sites"])
        drawn = read_pixels(tmp_path / "out" / "pictures" / f"{entry['scene']}.jpg")
        assert (drawn[..., 0].astype(int) - drawn[..., 1] > 100).any() == bool(features)  # red lines
    # finished scenes are skipped, unless an option changes
    before = (tmp_path / "out" / "scene_0.csv").stat().st_mtime_ns
    (tmp_path / "out" / "scene_1.summary.json").unlink()
    assert main(argv) == 0
    assert "3 of 4 scenes are finished and skipped" in capsys.readouterr().err
    assert (tmp_path / "out" / "scene_0.csv").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert main([*argv, "--overlap", "8", "--html"]) == 0
    printed, messages = capsys.readouterr()
    assert "finished and skipped" not in messages
    assert ".coco.json, .html" in printed
    assert len(list((tmp_path / "out").glob("*.html"))) == 5


def test_finished_scenes_are_skipped_without_torch(trained: tuple[list[str], Path], tmp_path: Path) -> None:
    model, images = trained
    argv = [*model, str(images), "--out", str(tmp_path / "out"), *FLAGS]
    assert main(argv) == 0
    summary = (tmp_path / "out" / "summary.json").read_text()
    script = (
        "import sys; from oil_storage.cli.detect import main; status = main(sys.argv[1:]); "
        "print([name for name in ('torch', 'mmcv', 'mmdet') if name in sys.modules]); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True, check=True)
    assert "4 of 4 scenes are finished and skipped" in done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "out" / "summary.json").read_text() == summary


def test_detection_with_an_exported_detector_imports_no_training_package(
    trained: tuple[list[str], Path], tmp_path: Path
) -> None:
    (config, checkpoint), images = trained
    exported = tmp_path / "detector.onnx"
    assert export([config, checkpoint, "--out", str(exported)]) == 0
    packages = ("torch", "mmengine", "mmcv", "mmdet", "pycocotools", "onnx", "matplotlib")
    script = (
        "import sys, oil_storage.inference; from oil_storage.cli.detect import command as detect; "
        "status = detect(sys.argv[1:]); "
        f"print([name for name in {packages} if name in sys.modules]); sys.exit(status)"
    )
    argv = ["--weights", str(exported), str(images / "scene_0.jpg"), "--out", str(tmp_path / "out"), *FLAGS]
    done = subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["scenes"][0]["tanks"] > 0
    assert summary["made_by"]["tile"] == 64


def test_command_needs_only_scenes(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (config, checkpoint), images = trained
    assert export([config, checkpoint, "--out", str(tmp_path / "detector.onnx")]) == 0
    capsys.readouterr()
    monkeypatch.setattr(shipped, "EXPORTED", tmp_path / "detector.onnx")
    monkeypatch.chdir(tmp_path)
    argv = [str(images / "scene_0.jpg"), *FLAGS]
    assert command(argv) == 0
    printed, messages = capsys.readouterr()
    assert printed.startswith("scene ")
    assert printed.splitlines()[-1] == "page: detections/index.html"
    assert 'href="scene_0.html"' in Path("detections/index.html").read_text()
    assert "CC BY-NC-SA 4.0: non-commercial use only" in messages
    assert command(argv) == 0
    assert "licence" not in capsys.readouterr().err  # only the first run states it
    assert command([*argv, "--weights", checkpoint, "--config", config, "--no-html", "--out", "other"]) == 0
    assert not list(Path("other").glob("*.html"))
    Path("damaged.jpg").write_bytes((images / "scene_0.jpg").read_bytes()[:-300])
    assert command(["damaged.jpg", *argv]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["1 of 2 scenes were left out", "page: detections/index.html"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--weights", "a.pth"], "--weights a.pth: needs the config of its training; give --config"),
        (["--config", "a.py"], "--config a.py: needs the weights of a training; give --weights"),
        (["--weights", "missing.onnx"], "missing.onnx: no such checkpoint file"),
        ([], "missing.onnx: the shipped detector is not installed; give --weights"),
        (["--backend", "torch"], "missing.safetensors: is only in a clone of the repository; give --config"),
    ],
)
def test_command_says_which_file_is_missing(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "WEIGHTS", Path("missing.safetensors"))
    monkeypatch.setattr(shipped, "EXPORTED", Path("missing.onnx"))
    assert command(["scene.tif", *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.slow
@pytest.mark.parametrize("change", [["--score-thr", "0.02"], ["--scale", "2"], ["--bands", "3,2,1"], ["--html"]])
def test_scene_is_detected_again_when_an_option_changes(
    change: list[str], trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = trained
    argv = [*model, str(images / "scene_0.jpg"), "--out", str(tmp_path / "out"), *FLAGS]
    assert main(argv) == 0
    assert main([*argv, *change]) == 0
    assert "finished and skipped" not in capsys.readouterr().err
    assert main([*argv, *change]) == 0
    assert "1 of 1 scenes are finished and skipped" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), [("a.png", "RGB"), ("a.png", "RGBA"), ("a.jpg", "CMYK"), ("a.png", "L")])
def test_detections_are_drawn_on_images_of_every_mode(
    name: str, mode: str, trained: tuple[list[str], Path], tmp_path: Path
) -> None:
    model, images = trained
    with Image.open(images / "scene_0.jpg") as image:
        image.convert(mode).save(tmp_path / name)
    assert main([*model, str(tmp_path / name), "--out", str(tmp_path / "out"), *FLAGS]) == 0
    assert len((tmp_path / "out" / "a.csv").read_text().splitlines()) > 1
    drawn = read_pixels(tmp_path / "out" / "pictures" / "a.jpg")
    assert (drawn[..., 0].astype(int) - drawn[..., 1] > 100).any()


@pytest.mark.slow
def test_scene_that_replaces_another_with_the_same_name_is_reported(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = trained
    for folder, index in (("one", 0), ("two", 1)):
        (tmp_path / folder).mkdir()
        shutil.copy(images / f"scene_{index}.jpg", tmp_path / folder / "scene.jpg")
    out = ["--out", str(tmp_path / "out"), *FLAGS]
    assert main([*model, str(tmp_path / "one"), *out, "--html"]) == 0
    assert "replaces the results" not in capsys.readouterr().err
    assert main([*model, str(tmp_path / "two"), *out]) == 0
    message = f"{tmp_path / 'two/scene.jpg'}: replaces the results of {tmp_path / 'one/scene.jpg'}"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "scene.html").exists()  # it shows the other scene


@pytest.mark.slow
def test_scene_is_detected_again_when_it_gets_a_world_file(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = trained
    with Image.open(images / "scene_0.jpg") as image:
        image.save(tmp_path / "scene.tif")
    argv = [*model, str(tmp_path / "scene.tif"), "--out", str(tmp_path / "out"), *FLAGS]
    assert main(argv) == 0
    assert main(argv) == 0
    assert "1 of 1 scenes are finished and skipped" in capsys.readouterr().err
    (tmp_path / "scene.tfw").write_text("1.5\n0\n0\n-1.5\n400000\n5700000\n")
    assert main(argv) == 0
    assert "finished and skipped" not in capsys.readouterr().err


def test_scene_is_detected_again_when_its_file_changes(trained: tuple[list[str], Path], tmp_path: Path) -> None:
    model, images = trained
    scene, out = tmp_path / "scene.jpg", tmp_path / "out"
    tables = []
    for name in ("scene_0.jpg", "scene_1.jpg"):
        shutil.copy(images / name, scene)
        assert main([*model, str(scene), "--out", str(out), *FLAGS]) == 0
        tables.append((out / "scene.csv").read_text())
    assert tables[0] != tables[1]


def test_damaged_scene_is_left_out_and_the_others_are_detected(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = trained
    bad = tmp_path / "bad.jpg"
    bad.write_bytes((images / "scene_0.jpg").read_bytes()[:-300])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bad.csv").write_text("of the user")
    argv = [*model, str(bad), str(images / "scene_1.jpg"), "--out", str(tmp_path / "out"), *FLAGS]
    assert main(argv) == 1
    printed, messages = capsys.readouterr()
    assert f"left out: {bad}: cannot be decoded" in messages
    assert "1 of 2 scenes were left out" in printed
    assert (tmp_path / "out" / "bad.csv").read_text() == "of the user"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [entry["scene"] for entry in summary["scenes"]] == ["scene_1"]
    assert summary["left_out"].keys() == {str(bad)}
    assert "cannot be decoded" in summary["left_out"][str(bad)]
    assert main([*model, str(bad), "--out", str(tmp_path / "none"), *FLAGS]) == 2
    assert "summary.json\n1 of 1 scenes" in capsys.readouterr().out


def test_index_lists_all_scenes_of_the_folder_and_the_failed_ones(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = trained
    out, bad = tmp_path / "out", tmp_path / "bad.jpg"
    bad.write_bytes((images / "scene_0.jpg").read_bytes()[:-300])
    options = ["--out", str(out), *FLAGS, "--html"]
    assert main([*model, str(images / "scene_1.jpg"), *options]) == 0
    assert main([*model, str(bad), str(images / "scene_0.jpg"), *options]) == 1
    index = (out / "index.html").read_text()
    links = re.findall(r'href="(scene_[^"]*)"', index)
    assert links == ["scene_0.html", "scene_1.html"]
    assert all((out / link).is_file() for link in links)
    assert re.search(rf"<td[^>]*>bad.jpg</td><td[^>]*>{re.escape(str(bad))}: cannot be decoded", index)
    # a run in which every scene is finished rewrites it
    (out / "index.html").write_text("stale")
    assert main([*model, str(images / "scene_1.jpg"), *options]) == 0
    assert re.findall(r'href="(scene_[^"]*)"', (out / "index.html").read_text()) == links
    shutil.copy(images / "scene_0.jpg", tmp_path / "index.jpg")
    assert main([*model, str(tmp_path / "index.jpg"), *options]) == 2
    assert "index.jpg: its page would overwrite index.html, the list of scenes; rename the" in capsys.readouterr().err


@pytest.mark.slow
def test_results_are_removed_when_a_scene_is_damaged(trained: tuple[list[str], Path], tmp_path: Path) -> None:
    model, images = trained
    scene, out = tmp_path / "scene.jpg", tmp_path / "out"
    shutil.copy(images / "scene_0.jpg", scene)
    argv = [*model, str(scene), str(images / "scene_1.jpg"), "--out", str(out), *FLAGS, "--html"]
    assert main(argv) == 0
    assert len(list(out.rglob("scene.*"))) == 7
    scene.write_bytes(scene.read_bytes()[:-300])
    assert main(argv) == 1
    assert not list(out.rglob("scene.*"))
    assert len(list(out.rglob("scene_1.*"))) == 7


@pytest.mark.slow
def test_scene_that_cannot_be_drawn_is_left_out(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = trained

    def failing(image: SceneImage, detections: SceneDetections) -> bytes:
        if detections.name == "scene_1":
            raise ValueError("no such brush")
        return scene_picture(image, detections)

    monkeypatch.setattr("oil_storage.inference.output_folder.scene_picture", failing)
    out = tmp_path / "out"
    assert main([*model, str(images), "--out", str(out), *FLAGS]) == 1
    assert f"left out: {images / 'scene_1.jpg'}: ValueError: no such brush" in capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text())
    assert [entry["scene"] for entry in summary["scenes"]] == ["scene_0", "scene_2", "scene_3"]
    assert list(summary["left_out"]) == [str(images / "scene_1.jpg")]
    assert not list(out.rglob("scene_1.*"))


@pytest.mark.slow
def test_checkpoint_of_another_config_gives_a_warning(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config, checkpoint), images = trained
    scene = [str(images / "scene_0.jpg"), "--out", str(tmp_path / "out"), *FLAGS]
    assert main([config, checkpoint, *scene]) == 0
    assert "was trained with" not in capsys.readouterr().err
    shutil.copy(config, tmp_path / "another.py")
    assert main([str(tmp_path / "another.py"), checkpoint, *scene]) == 0
    message = f"{checkpoint}: was trained with the config {Path(config).stem}; another may prepare scenes differently"
    assert message in capsys.readouterr().err


def test_full_disk_ends_the_run_with_a_message(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = trained

    def failing(image: SceneImage, detections: SceneDetections) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("oil_storage.inference.output_folder.scene_picture", failing)
    assert main([*model, str(images), "--out", str(tmp_path / "out"), *FLAGS]) == 2
    message = capsys.readouterr().err
    assert (
        f"{tmp_path / 'out'}: the detections of {images / 'scene_0.jpg'} cannot be written ([Errno 28] No space left"
        in message
    )


@pytest.mark.slow
def test_detections_are_drawn_on_16_bit_scenes(trained: tuple[list[str], Path], tmp_path: Path) -> None:
    model, images = trained
    pixels = cv2.imread(str(images / "scene_0.jpg")).astype(np.uint16) * 16
    assert cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    assert cv2.imwrite(str(tmp_path / "b.png"), pixels)
    assert main([*model, str(tmp_path), "--out", str(tmp_path / "out"), *FLAGS, "--html"]) == 0
    for name in "ab":
        assert len((tmp_path / "out" / f"{name}.csv").read_text().splitlines()) > 1
        drawn = read_pixels(tmp_path / "out" / "pictures" / f"{name}.jpg")
        assert (drawn[..., 0].astype(int) - drawn[..., 1] > 100).any()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "iter_8.pth: has no score threshold; give --score-thr"),
        ([*FLAGS, "--overlap", "64"], "--overlap 64: must be 0 to 63"),
    ],
)
def test_failed_run_leaves_no_output(
    flags: list[str], message: str, trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = trained
    assert main([*model, str(images), "--out", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--scale", "0", "'0': must be a number from 0.1 to 10"),
        ("--batch-size", "0", "'0': must be an integer of at least 1"),
        ("--score-thr", "2", "'2': must be a number from 0 to 1"),
        ("--bands", "1,2", "'1,2': must be three band numbers"),
        ("--bands", "0,1,2", "'0,1,2': must be three band numbers from 1 up"),
        ("--stretch", "9", "'9': must be two rising percentiles"),
        ("--stretch", "98,2", "'98,2': must be two rising percentiles"),
    ],
)
def test_option_is_refused_when_its_value_is_malformed(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["a.py", "b.pth", "c.tif", "--out", "out", option, value])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_processes_share_the_scenes(trained: tuple[list[str], Path], tmp_path: Path) -> None:
    model, images = trained
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    argv = [*model, str(images), str(bad), *FLAGS, "--device", "cpu"]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "tools/detect.py",
    ]
    done = subprocess.run([*command, *argv, "--out", str(tmp_path / "two")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.count("1 of 5 scenes were left out") == 1
    assert main([*argv, "--out", str(tmp_path / "one")]) == 1
    for path in sorted((tmp_path / "one").glob("*.geojson")):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    single, shared = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("one", "two"))
    assert single == shared
    assert len(single["scenes"]) == 4


def test_scenes_can_be_files_folders_patterns_and_lists(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.tif", "c.png", ".d.png", "e.xml"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("c.png\n\na.jpg\n", encoding="utf-8-sig")  # Windows adds a byte order mark
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes("düne.jpg".encode("latin-1"))
    names = {
        (str(tmp_path),): ["a", "b", "c"],
        (str(tmp_path / "*.jpg"), str(tmp_path / "b.tif")): ["a", "b"],
        (str(tmp_path / "list.txt"), str(tmp_path / "a.jpg")): ["c", "a"],
    }
    for named, expected in names.items():
        assert [path.stem for path in find_scenes(named)] == expected
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.tif").touch()
    for named, message in (
        ([str(tmp_path), str(tmp_path / "other")], "so their results would overwrite each other"),
        ([str(tmp_path / "empty.txt")], r"empty\.txt: the list is empty"),
        ([str(tmp_path / "latin.txt")], r"latin\.txt: not UTF-8 text"),
        ([str(tmp_path / "*.gif")], "matches no file or folder; check the path"),
        ([str(tmp_path / "nothing")], "matches no file or folder"),
    ):
        with pytest.raises(UserError, match=message):
            find_scenes(named)


def test_link_to_itself_does_not_affect_other_scenes(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    assert [path.name for path in find_scenes([str(tmp_path)])] == ["a.png", "loop.tif"]
    assert [path.name for path in find_scenes([str(tmp_path), str(tmp_path)])] == ["a.png", "loop.tif"]


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_checkpoint_without_the_training_stack_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect_module, "find_spec", lambda _: None)
    (tmp_path / name).touch()
    assert command(["scene.tif", "--weights", str(tmp_path / name)]) == 2
    assert f"{name}: needs the training stack; run make install in a clone" in capsys.readouterr().err
