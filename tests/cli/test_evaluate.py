import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from oil_storage.cli.evaluate import main
from oil_storage.evaluation.scene_score import coco_results, coco_truth
from tests.raw_data import write_raw_data
from tests.scored_scenes import perfect, scored_scenes

WRITTEN = {"metrics.json", "detections.json", "ground_truth.json", "report.html", "suspect_labels.csv", "loosest.jpg"}
WRITTEN |= {f"{name}.png" for name in ("precision_recall", "f1", "ap_by_size", "errors_by_size", "counts")}


MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
"""Script that runs a command and prints its CPU seconds and peak KiB; a child of pytest would inherit pytest's peak."""


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    scenes = scored_scenes()
    path = tmp_path / "truth.json"
    coco_truth(scenes).save(path)
    return path


def results(folder: Path, detections: list[dict[str, object]]) -> Path:
    path = folder / "detections.json"
    path.write_text(json.dumps(detections))
    return path


def test_detections_are_scored_without_a_model(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detections = results(tmp_path, coco_results(scored_scenes()))
    assert main([str(detections), str(truth), "--out", str(tmp_path / "out"), "--score-thr", "0.4"]) == 0
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 0.3 < figures["f1"] < 1
    assert 0.05 < figures["ap"] < figures["ap50"] < 1
    assert figures["threshold"] == 0.4
    printed = capsys.readouterr().out
    assert "4 scenes, 167 boxes" in printed
    assert f"F1        {figures['f1']:.3f}" in printed
    assert "chosen on these scenes" not in printed


@pytest.mark.slow
def test_default_threshold_is_the_best_and_is_reported_as_such(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detections = results(tmp_path, coco_results(scored_scenes()))
    best = []
    for flags in ([], ["--score-thr", "0.4"], ["--score-thr", "0.7"]):
        assert main([str(detections), str(truth), "--out", str(tmp_path / "out"), *flags]) == 0
        best.append(json.loads((tmp_path / "out" / "metrics.json").read_text())["f1"])
    assert best[0] == max(best)
    assert "the threshold was chosen on these scenes" in capsys.readouterr().out


def test_perfect_detections_score_1_and_no_detections_0(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for scenes, expected in ((perfect(scored_scenes()), 1.0), ([], 0.0)):
        detections = results(tmp_path, coco_results(scenes))
        assert main([str(detections), str(truth), "--out", str(tmp_path / "out")]) == 0
        figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert (figures["ap"], figures["f1"]) == pytest.approx((expected, expected))
    assert "no detections in 4 of 4 scenes: scene_00" in capsys.readouterr().err


def test_ground_truth_may_be_a_folder_of_any_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_raw_data(tmp_path / "raw")
    from oil_storage.annotations import formats
    from oil_storage.annotations.record import parse_class_map
    from oil_storage.audit.records import audit

    scenes, _ = audit(formats.read(source), parse_class_map(None))
    rows = [(scene.scene_id, *box, 0.9) for scene in scenes for box in scene.boxes.tolist()]
    detections = tmp_path / "detections.csv"
    detections.write_text("scene,xmin,ymin,xmax,ymax,score\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    assert main([str(detections), str(source), "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["f1"] == 1
    assert f"{len(scenes)} scenes, {len(rows)} boxes" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "http" not in page
    assert page.count("data:image/png") == 5
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN


@pytest.mark.slow
def test_report_shows_pictures_from_the_folder_of_images(truth: Path, tmp_path: Path) -> None:
    argv = [str(results(tmp_path, coco_results(scored_scenes()))), str(truth), "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/jpeg" not in page
    assert "Red corners" not in page
    assert "The lists below have no pictures" in page
    (tmp_path / "images").mkdir()
    assert cv2.imwrite(str(tmp_path / "images" / "scene_03.png"), np.full((2560, 2560, 3), 90, np.uint8))
    assert main([*argv, "--images", str(tmp_path / "images")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg") == page.count("Red corners") == 3
    assert "no pictures" not in page


def test_scenes_without_detections_or_ground_truth_are_reported(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detections = tmp_path / "detections.csv"
    detections.write_text(
        "scene,xmin,ymin,xmax,ymax,score\nscene_00,-5,0,9,9,1\nelsewhere,1,1,9,9,1\nelsewhere,1,1,9,9,1\n"
    )
    assert main([str(detections), str(truth), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().err
    assert "ignored 2 detections in scenes without ground truth: elsewhere" in printed
    assert "no detections in 3 of 4 scenes: scene_01, scene_02, scene_03" in printed


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [
        ("elsewhere,1,1,9,9,1", [], "none of its scenes (elsewhere) is in the ground truth, which contains scene_00"),
        ("scene_00,1,1,9,9,nan", [], "detections.csv:2: score nan is not between 0 and 1"),
    ],
)
def test_unusable_detections_are_refused_and_leave_no_output(
    rows: str, flags: list[str], message: str, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detections = tmp_path / "detections.csv"
    detections.write_text(f"scene,xmin,ymin,xmax,ymax,score\n{rows}\n")
    assert main([str(detections), str(truth), "--out", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_interrupted_evaluation_removes_the_previous_figures(
    truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [str(results(tmp_path, coco_results(scored_scenes()))), str(truth), "--out", str(tmp_path / "out")]
    assert main(argv) == 0

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("oil_storage.reporting.scored_run.write_report", killed)
    assert main(argv) == 130
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_output_folder_must_not_contain_the_inputs(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detections = results(tmp_path, coco_results(scored_scenes()))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main([str(detections), str(truth), "--out", str(tmp_path)]) == 2
    assert f"--out {tmp_path}: contains the input {detections}; use another folder" in capsys.readouterr().err
    source = write_raw_data(tmp_path / "raw")
    assert main([str(detections), str(source), "--out", str(source / "images")]) == 2
    assert "use a folder elsewhere" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "raw") == before


def test_unusable_ground_truth_is_refused_in_one_line(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detections = results(tmp_path, coco_results(scored_scenes()))
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    (prepared / "manifest.json").touch()
    for argv, message in (
        (
            [str(detections), str(truth), "--format", "coco"],
            "--format and --allow need a folder",
        ),
        (
            [str(detections), str(prepared)],
            f"is a prepared folder; use one of its splits, e.g. {prepared}/scenes/val.json",
        ),
        ([str(detections), str(tmp_path / "none")], "none: no such file or folder"),
        ([str(tmp_path / "nothing"), str(truth)], "nothing: no such file or folder"),
        ([str(prepared), str(truth)], "contains no *.geojson files"),
    ):
        assert main([*argv, "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_evaluation_of_20_scenes_takes_under_20_s_and_1_gib(tmp_path: Path) -> None:
    scenes = scored_scenes(tuple(np.random.default_rng(0).integers(14, 300, 20).tolist()), noise=800)
    path = tmp_path / "truth.json"
    coco_truth(scenes).save(path)
    argv = [results(tmp_path, coco_results(scenes)), path, "--out", tmp_path / "out"]
    command = [sys.executable, "-c", MEASURED, sys.executable, "tools/evaluate.py", *map(str, argv)]
    message = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, kibibytes = map(float, message.splitlines()[-1].split())
    assert seconds < 20  # CPU seconds; under 10 s on two idle cores, with imports
    assert kibibytes < 2**20
