import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from oil_storage.cli.evaluate import main as evaluate
from oil_storage.cli.report import main
from oil_storage.errors import UserError
from oil_storage.evaluation.matching import SceneResult, match_scenes
from oil_storage.evaluation.scene_score import coco_detections, coco_truth, score_scenes
from oil_storage.figures import ConfigResults
from oil_storage.reporting.comparison import HEADER, experiments, rows
from oil_storage.reporting.scored_run import read_run
from tests.reporting.test_results import DATA
from tests.scored_scenes import scored_scenes, with_detections

SCENES = {
    "threshold": 0.4,
    "f1": 0.9,
    "ap": 0.5,
    "ap50": 0.5,
    "intervals": {name: [0, 1] for name in ("ap", "ap50", "f1")},
}
NUMBERS = (40, 3, 7, 120, 15, 60, 30, 22)


def change(run: Path, **changed: object) -> None:
    """Change values in the metrics of a run."""
    path = run / "val" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def write_run(folder: Path, name: str, scenes: list[SceneResult], seed: int = 0, config: str | None = None) -> Path:
    """Write the files of a tested run; runs with the same scenes share their data."""
    data = folder / f"data_{sum(len(scene.truth) for scene in scenes)}"
    (data / "scenes").mkdir(parents=True, exist_ok=True)
    coco_truth(scenes).save(data / "scenes" / "val.json")
    run = folder / name
    (run / "val").mkdir(parents=True)
    coco_detections(scenes).save(run / "val" / "detections.json")
    trained = {"config": "a", "seed": seed, "iterations": 80, "seconds": 600.0, "hardware": "2 cores"}
    trained |= {"initialised": "ImageNet", "recipe_sha256": "0"}
    tested = {
        "config": f"configs/oil/{config or name}.py",
        "config_sha256": "0",
        "packages": {},
        "checkpoint": "iter_80.pth",
        "checkpoint_sha256": "0",
        "cfg_options": [],
        "data_root": str(data),
        "data": DATA,
        "ground_truth_sha256": "0",
        "tiles_ap_minus_scenes_ap": None,
        "tiles": "640_64",
        "split": "val",
        "tta": False,
        "precision": "float32",
        "changes": [],
        "trained": trained,
        "metrics": {"coco/bbox_mAP": 0.5},
        "scenes": score_scenes(match_scenes(scenes), 0.4).model_dump(mode="json", exclude_unset=True),
    }
    (run / "val" / "metrics.json").write_text(json.dumps(tested))
    return run


def thinned(scenes: list[SceneResult], step: int) -> list[SceneResult]:
    """Keep every ``step``-th detection."""
    return [with_detections(scene, scene.boxes[::step], scene.scores[::step]) for scene in scenes]


def test_comparison_leads_with_the_best_f1_and_marks_differences_that_may_be_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = scored_scenes(NUMBERS)
    near = [with_detections(scene, scene.boxes[: len(scene.boxes) - 1], scene.scores[:-1]) for scene in scenes]
    runs = [
        write_run(tmp_path, "worse", thinned(scenes, 3)),
        write_run(tmp_path, "good", scenes),
        write_run(tmp_path, "near", near),
    ]
    assert main([*map(str, runs), "--compare", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "comparison.csv").open() as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == HEADER
    assert len(set(header)) == len(header)
    assert lines[-1][0] == "worse"
    assert header[:2] == ["experiment", "F1"]
    f1 = [float(row[1]) for row in lines]
    assert f1 == sorted(f1, reverse=True)
    behind = {row[0]: row[HEADER.index("F1 below the best")] for row in lines}
    assert lines[0][HEADER.index("AP below the best")] == behind[lines[0][0]] == "the best"
    assert "may be chance" not in behind["worse"]
    assert "chance" in behind["near"] or "chance" in behind["good"]
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "8 scenes with 297 tanks" in page
    assert "http" not in page
    scores, costs = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    assert scores.startswith("<table><tr><th>experiment</th><th>F1</th>")
    assert max(table.count("<th>") for table in (scores, costs)) <= 11  # more do not fit 1,200 px
    assert (tmp_path / "out" / "comparison.md").read_text() in capsys.readouterr().out
    assert (tmp_path / "out" / "precision_recall.png").is_file()


def test_runs_on_different_boxes_are_not_compared(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, name, scored_scenes(numbers)) for name, numbers in (("a", (9, 5)), ("b", (9, 6)))]
    with pytest.raises(UserError, match="different scenes or boxes"):
        experiments([read_run(run, "val") for run in runs])


@pytest.mark.slow
def test_runs_with_different_seeds_form_one_experiment(tmp_path: Path) -> None:
    scenes = scored_scenes(NUMBERS)
    first, second = (write_run(tmp_path, f"a_{seed}", thinned(scenes, 1 + seed), seed, "a") for seed in (0, 1))
    other = write_run(tmp_path, "b", thinned(scenes, 3))
    compared = experiments([read_run(run, "val") for run in (other, second, first)])
    assert [[run.folder.name for run in experiment.runs] for experiment in compared] == [["a_0", "a_1"], ["b"]]
    row = dict(zip(HEADER, rows(compared, {})[0], strict=True))
    alone = [read_run(run, "val").figures.f1 for run in (first, second)]
    assert row["F1"] == f"{sum(alone) / 2:.3f} ± {abs(alone[0] - alone[1]) / 2**0.5:.3f}"
    assert row["runs"] == f"{first}, {second}"
    assert (row["seeds"], row["first weights"], row["iterations"]) == ("0, 1", "ImageNet", "80")
    # another recipe or other first weights make another experiment with the same name
    for key in ("recipe_sha256", "initialised"):
        trained = {**json.loads((second / "val" / "metrics.json").read_text())["trained"], key: "1"}
        change(second, trained=trained)
        assert len(experiments([read_run(run, "val") for run in (first, second)])) == 2


@pytest.mark.slow
def test_folds_form_one_experiment_on_all_their_scenes(tmp_path: Path) -> None:
    halves = [scored_scenes((9, 15, 4, 8)), scored_scenes((30, 22, 11, 5), seed=1)]
    folds = [write_run(tmp_path, f"a/{index}", half, config="a") for index, half in enumerate(halves)]
    worse = [write_run(tmp_path, f"b/{index}", thinned(half, 2), config="b") for index, half in enumerate(halves)]
    compared = experiments([read_run(run, "val") for run in (*folds, *worse)])
    assert [experiment.name for experiment in compared] == ["a", "b"]
    assert "may be chance" not in rows(compared, {})[1][HEADER.index("F1 below the best")]
    with pytest.raises(UserError, match="different scenes or boxes"):
        experiments([read_run(run, "val") for run in (*folds, worse[0])])


@pytest.mark.slow
def test_comparison_includes_detections_of_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = scored_scenes(NUMBERS)
    run = write_run(tmp_path, "a", thinned(scenes, 2))
    detections = tmp_path / "yolo.json"
    coco_detections(scenes).save(detections)
    truth = next(tmp_path.glob("data_*")) / "scenes" / "val.json"
    argv = [str(detections), str(truth), "--out", str(tmp_path / "yolo")]
    assert evaluate([*argv, "--score-thr", "0.4"]) == 0
    assert main([str(run), str(tmp_path / "yolo"), "--compare", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "comparison.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["experiment"], first["tiles"], first["tile AP"]) == ("yolo", "-", "-")
    assert first["F1 below the best"] == "the best"
    assert (first["score threshold"], second["score threshold"]) == ("0.400", "0.400, chosen here")
    assert second["experiment"] == "a"
    # the page leaves out empty columns, and the split of another tool's detections
    assert main([str(tmp_path / "yolo"), "--compare", str(tmp_path / "alone")]) == 0
    page = (tmp_path / "alone" / "comparison.html").read_text()
    assert "val split" not in page
    assert "M parameters" not in page
    assert "M parameters" not in (tmp_path / "alone" / "comparison.md").read_text()
    # a threshold that was chosen on test scenes is refused
    assert evaluate(argv) == 0
    capsys.readouterr()
    assert main([str(tmp_path / "yolo"), "--split", "test", "--compare", str(tmp_path / "out")]) == 2
    assert "was chosen on these scenes" in capsys.readouterr().err


def test_comparison_refuses_a_run_that_is_named_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, "a", scored_scenes((9, 5)))
    assert main([str(run), str(run), "--compare", str(tmp_path / "out")]) == 2
    assert "two of the given runs are the same folder" in capsys.readouterr().err


def test_row_shows_costs_if_they_are_measured(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, "a", scored_scenes((9, 5))), "val")
    times = {"p50": 0.25, "p95": 0.3, "throughput": 4.0}
    speed = {"parameters": 3_200_000, "gflops": 1.0, "input": [64, 64], "inference": times, "training": times}
    speed |= {"memory_gb": 1.0, "precision": "float32", "hardware": "2 cores"}
    known = {"a": ConfigResults.model_validate({"config": "a", "speed": speed})}
    (row,) = rows(experiments([run]), known)
    assert row[-3:] == ["3.2", "0.25", "2 cores"]
    assert rows(experiments([run]), {})[0][-3:] == ["-", "-", "2 cores"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "val" / "metrics.json").unlink(), "no such file; run tools/test.py with --split val"),
        (lambda run: change(run, trained={"seed": 0}), "metrics.json: trained.config: Field required"),
        (lambda run: (run / "val" / "metrics.json").write_text("{}"), "metrics.json: config: Field required"),
        (lambda run: (run / "val" / "detections.json").unlink(), "detections.json: no such file"),
        (
            lambda run: change(run, tta=True),
            "the test used the val split with two views of each tile; run tools/test.py",
        ),
        (lambda run: change(run, split="test"), "the test used the test split; run tools/test.py"),
        (lambda run: change(run, scenes={"threshold": 0.4, "f1": 0.9}), "metrics.json: scenes.ap: Field required"),
        (lambda run: change(run, scenes={**SCENES, "ap": "x"}), "metrics.json: scenes.ap: "),
        (lambda run: change(run, scenes={**SCENES, "intervals": {"ap": [1]}}), "metrics.json: scenes.intervals.ap: "),
        (
            lambda run: shutil.rmtree(run),
            "no such folder; use the work dir of a tested run, or --out of tools/evaluate.py",
        ),
        (
            lambda run: (run / "val" / "detections.json").write_text('{"images": [], "annotations": []}'),
            "give 0.000, so the files are from different tests",
        ),
        (lambda run: (run.parent / "data_14" / "scenes" / "val.json").unlink(), "prepare the data again"),
    ],
)
def test_comparison_refuses_an_incomplete_run_and_names_the_fault(
    spoil: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path, "a", scored_scenes((9, 5)))
    spoil(run)  # type: ignore[operator]
    assert main([str(run), "--compare", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_comparison_and_evaluation_do_not_overwrite_a_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, "a", scored_scenes((9, 5)))
    before = sorted(path.name for path in (run / "val").iterdir())
    assert main([str(run), "--compare", str(run / "val")]) == 2
    assert "contains the score of a run; use another folder" in capsys.readouterr().err
    truth = next(tmp_path.glob("data_*")) / "scenes" / "val.json"
    detections = tmp_path / "found.json"
    detections.write_text((run / "val" / "detections.json").read_text())
    assert evaluate([str(detections), str(truth), "--out", str(run / "val")]) == 2
    assert "contains the metrics.json of another tool" in capsys.readouterr().err
    assert sorted(path.name for path in (run / "val").iterdir()) == before


def test_comparison_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--compare", str(tmp_path / "out")]) == 2
    assert "list the runs to compare" in capsys.readouterr().err
