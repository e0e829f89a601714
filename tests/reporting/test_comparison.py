import csv
import json
from pathlib import Path

import pytest

from oil_storage.cli.report import main
from oil_storage.errors import UserError
from oil_storage.evaluation.matching import match_scenes
from oil_storage.evaluation.scene_result import SceneResult
from oil_storage.evaluation.scene_score import coco_detections, score_scenes
from oil_storage.preparation.coco import coco, image_entry
from oil_storage.reporting.comparison import HEADER, compare, read_run
from tests.scored_scenes import scored_scenes, with_detections

NUMBERS = (40, 3, 7, 120, 15, 60, 30, 22)


def change(run: Path, **changed: object) -> None:
    """Write other values into what the test has left."""
    path = run / "val" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def write_run(folder: Path, name: str, scenes: list[SceneResult], seed: int = 0) -> Path:
    """Write what a test leaves, on data that all of ``folder`` share unless their ``scenes`` differ."""
    data = folder / f"data_{sum(len(one.truth) for one in scenes)}"
    (data / "scenes").mkdir(parents=True, exist_ok=True)
    images = [image_entry(one.scene_id, f"{one.scene_id}.jpg", one.width, one.height) for one in scenes]
    (data / "scenes" / "val.json").write_text(json.dumps(coco(images, [one.truth for one in scenes])))
    run = folder / name
    (run / "val").mkdir(parents=True)
    (run / "val" / "detections.json").write_text(json.dumps(coco_detections(scenes)))
    tested = {
        "config": f"configs/oil/{name}.py",
        "data_root": str(data),
        "tiles": "640_64",
        "split": "val",
        "tta": False,
        "trained": {"seed": seed, "iterations": 80, "seconds": 600.0, "hardware": "2 cores"},
        "metrics": {"coco/bbox_mAP": 0.5},
        "scenes": score_scenes(match_scenes(scenes), 0.4),
    }
    (run / "val" / "metrics.json").write_text(json.dumps(tested))
    return run


def thinned(scenes: list[SceneResult], step: int) -> list[SceneResult]:
    """Every ``step``-th detection only."""
    return [with_detections(one, one.boxes[::step], one.scores[::step]) for one in scenes]


def test_the_best_comes_first_and_chance_is_told_from_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = scored_scenes(NUMBERS)
    near = [with_detections(one, one.boxes[: len(one.boxes) - 1], one.scores[:-1]) for one in scenes]
    runs = [
        write_run(tmp_path, "worse", thinned(scenes, 3)),
        write_run(tmp_path, "good", scenes),
        write_run(tmp_path, "near", near),
    ]
    assert main([*map(str, runs), "--compare", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "comparison.csv").open() as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == HEADER
    assert len(set(header)) == len(header)
    assert rows[-1][1] == "worse"
    behind = {row[1]: row[HEADER.index("less F1 than the best")] for row in rows}
    assert sorted(behind.values())[-1] == "the best"
    assert "may be chance" not in behind["worse"]
    assert "chance" in behind["near"] or "chance" in behind["good"]
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "8 scenes with 297 tanks" in page
    assert "http" not in page
    assert (tmp_path / "out" / "comparison.md").read_text() in capsys.readouterr().out
    assert (tmp_path / "out" / "precision_recall.png").is_file()


def test_runs_on_different_boxes_are_not_compared(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, name, scored_scenes(numbers)) for name, numbers in (("a", (9, 5)), ("b", (9, 6)))]
    with pytest.raises(UserError, match="different scenes or boxes"):
        compare([read_run(run, "val") for run in runs], {})


def test_costs_are_told_where_they_are_measured(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, "a", scored_scenes((9, 5))), "val")
    known = {"a": {"speed": {"parameters": 3.2e6, "inference": {"p50": 0.25}}}}
    (row,) = compare([run], known)
    assert row[-3:] == ["3.2", "0.25", "2 cores"]
    assert compare([run], {})[0][-3:] == ["-", "-", "2 cores"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "val" / "metrics.json").unlink(), "no such file; run tools/test.py with --split val"),
        (lambda run: (run / "val" / "metrics.json").write_text("{}"), "damaged, or of another version"),
        (lambda run: (run / "val" / "detections.json").unlink(), "detections.json: no such file"),
        (lambda run: change(run, tta=True), "scores the val split, flips merged; run tools/test.py"),
        (lambda run: change(run, split="test"), "scores the test split; run tools/test.py"),
        (lambda run: change(run, scenes={"threshold": 0.4, "f1": 0.9}), "damaged, or of another version"),
        (lambda run: change(run, metrics={}), "damaged, or of another version"),
        (
            lambda run: (run / "val" / "detections.json").write_text('{"images": [], "annotations": []}'),
            "give 0.000: they are not of one test",
        ),
        (lambda run: (run.parent / "data_14" / "scenes" / "val.json").unlink(), "prepare the data again"),
    ],
)
def test_what_is_missing_is_said(spoil: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, "a", scored_scenes((9, 5)))
    spoil(run)  # type: ignore[operator]
    assert main([str(run), "--compare", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_to_compare_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--compare", str(tmp_path / "out")]) == 2
    assert "name the runs" in capsys.readouterr().err
