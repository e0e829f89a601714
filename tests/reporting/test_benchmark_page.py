from pathlib import Path

import numpy as np
import pytest

from oil_storage.evaluation.matching import match_scenes
from oil_storage.evaluation.outcomes import Outcomes, TestOutcomes
from oil_storage.evaluation.uncertainty import resampled
from oil_storage.figures import (
    Budget,
    ConfigResults,
    CudaCost,
    CudaTraining,
    Figures,
    RecordedRun,
    SceneCost,
    Trial,
    Validation,
)
from oil_storage.reporting.benchmark_page import LINE_UP, cuda_table, read_rows, tables
from oil_storage.reporting.benchmark_plots import accuracy_and_time, learning_curves
from oil_storage.reporting.results import outcomes_path
from tests.reporting.test_results import DATA, OTHER_SPLIT, run_on
from tests.scored_scenes import scored_scenes, with_detections

NUMBERS = (40, 3, 7, 120, 15, 60, 30, 22)
COST = SceneCost(
    seconds=6.26, memory_gb=1.23, size=[2560, 2560], scenes=3, checkpoint_sha256="0", hardware="2 cores", commit="abc"
)
FIRST, SECOND = LINE_UP[:2]
AP = {f"coco/bbox_{name}": 0.5 for name in ("mAP", "mAP_50")}
CUDA = CudaCost(
    loss=[2.0, 1.0],
    images_per_second=30.0,
    inference=80.0,
    memory_gb=1.0,
    batch=8,
    input=[512, 512],
    hardware="a GPU",
    stock={"float32": {"training": 10.0, "inference": 20.0}},
)


def outcomes_of(step: int) -> TestOutcomes:
    """Return the outcomes of a detector that drops every ``step``-th detection; 0 drops none."""
    scenes = scored_scenes(NUMBERS)
    if step:
        keep = [np.arange(len(scene.scores)) % step > 0 for scene in scenes]
        scenes = [with_detections(s, s.boxes[k], s.scores[k]) for s, k in zip(scenes, keep, strict=True)]
    outcomes = Outcomes.of(match_scenes(scenes), 0.4)
    return TestOutcomes(outcomes, outcomes)


def write(results: Path, config: str, run: RecordedRun, step: int) -> RecordedRun:
    """Write outcomes and return the run with their AP."""
    path = outcomes_path(results, config, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    outcomes_of(step).save(path)
    ap = resampled(outcomes_of(step).tiles)(np.ones(len(NUMBERS), int))["ap"]
    return run.model_copy(update={"metrics": {**run.metrics, "coco/bbox_mAP": ap}})


def table(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]


def test_configs_without_results_are_listed_as_not_yet_run(tmp_path: Path) -> None:
    rows = read_rows({}, tmp_path, {})
    made = tables({}, rows)
    for name in ("scores", "costs", "fractions", "budget", "search", "cuda"):
        assert {row[0] for row in table(made[name])} == {f"`{config}`" for config in LINE_UP}
        assert all("not yet run" in row for row in table(made[name]))
    assert made["differences"] == "Paired differences: not yet run.\n"
    assert accuracy_and_time({}, rows) is None
    assert learning_curves(rows) is None


def test_difference_is_that_of_the_recorded_ap_with_a_paired_interval(tmp_path: Path) -> None:
    worse = write(tmp_path, FIRST, run_on(DATA), step=4)
    better = [write(tmp_path, SECOND, run_on(DATA, seed), step=0) for seed in (0, 1)]
    known = {
        FIRST: ConfigResults(config=FIRST, runs=[worse]),
        SECOND: ConfigResults(config=SECOND, runs=better),
    }
    made = tables(known, read_rows(known, tmp_path, {}))
    ((first, second, split, seeds, ap, ap50, f1),) = table(made["differences"])
    assert (first, second, split, seeds) == (f"`{SECOND}`", f"`{FIRST}`", "val", "0, 1; 0")
    difference = better[0].metrics["coco/bbox_mAP"] - worse.metrics["coco/bbox_mAP"]
    assert float(ap.split(", ")[0]) == pytest.approx(difference, abs=5e-4)
    for text in (ap, ap50, f1):
        middle, low, high = (float(number) for number in text.replace(" to", ",").split(", ")[:3])
        assert 0 < low < middle < high
        assert "chance" not in text
    score = next(row for row in table(made["scores"]) if row[0] == f"`{FIRST}`")
    assert score[6].startswith(f"{worse.metrics['coco/bbox_mAP']:.3f} (")


def test_equal_detectors_may_differ_by_chance_only(tmp_path: Path) -> None:
    runs = {name: write(tmp_path, name, run_on(DATA), step=0) for name in (FIRST, SECOND)}
    known = {name: ConfigResults(config=name, runs=[run]) for name, run in runs.items()}
    ((*_, ap, ap50, f1),) = table(tables(known, read_rows(known, tmp_path, {}))["differences"])
    assert ap == ap50 == f1 == "+0.000, +0.000 to +0.000, may be chance"


def test_single_scene_gives_no_interval(tmp_path: Path) -> None:
    one = Outcomes.of(match_scenes(scored_scenes((40,))), 0.4)
    for name in (FIRST, SECOND):
        path = outcomes_path(tmp_path, name, run_on(DATA))
        path.parent.mkdir(exist_ok=True)
        TestOutcomes(one, one).save(path)
    known = {name: ConfigResults(config=name, runs=[run_on(DATA)]) for name in (FIRST, SECOND)}
    made = tables(known, read_rows(known, tmp_path, {}))
    assert table(made["differences"])[0][4] == "+0.000, may be chance"
    assert table(made["scores"])[0][6] == "0.500"


def test_runs_with_two_views_or_on_other_data_do_not_count(tmp_path: Path) -> None:
    others = [run_on(DATA).model_copy(update={"tta": True}), run_on(OTHER_SPLIT)]
    known = {FIRST: ConfigResults(config=FIRST, runs=[run_on(DATA), *others])}
    (row,) = read_rows(known, tmp_path, {})
    assert row.run == run_on(DATA)
    assert row.outcomes is None


def test_outcomes_that_are_not_recorded_yet_are_read_from_the_work_dir(tmp_path: Path) -> None:
    outcomes_of(0).save(tmp_path / "outcomes.npz")
    known = {FIRST: ConfigResults(config=FIRST, runs=[run_on(DATA)])}
    new = {outcomes_path(tmp_path, FIRST, run_on(DATA)): tmp_path / "outcomes.npz"}
    (row,) = read_rows(known, tmp_path, new)
    assert row.outcomes is not None


def test_fraction_is_compared_with_all_scenes_of_the_same_seed(tmp_path: Path) -> None:
    part = run_on(DATA).model_copy(update={"scenes_fraction": 0.25})
    runs = [write(tmp_path, FIRST, run_on(DATA), step=0), write(tmp_path, FIRST, part, step=3), run_on(DATA, seed=1)]
    known = {FIRST: ConfigResults(config=FIRST, runs=runs)}
    made = tables(known, read_rows(known, tmp_path, {}))
    whole, quarter = (row for row in table(made["fractions"]) if row[0] == f"`{FIRST}`")
    assert (whole[1], quarter[1], whole[-1]) == ("100%", "25%", "-")
    assert float(quarter[-1].split(",")[0]) == pytest.approx(float(whole[3]) - float(quarter[3]), abs=2e-3)
    assert sum(row[0] == f"`{FIRST}`" and row[1] == "val" for row in table(made["scores"])) == 2  # the seeds


def test_budget_search_and_costs_are_shown(tmp_path: Path) -> None:
    trial = Trial(learning_rate=1e-3, seed=0, iterations=300, images=2400, ap=0.4, ap50=0.7, hardware="", commit="abc")
    trials = [trial, trial.model_copy(update={"learning_rate": 2e-3, "ap": 0.45})]
    budget = Budget(
        minutes=90.0,
        iterations=2500,
        images=20000,
        seconds_per_iteration=2.16,
        measured=100,
        hardware="2 cores",
        commit="abc",
    )
    content = ConfigResults(config=FIRST, trials=trials, budget=budget, scene=COST)
    made = tables({FIRST: content}, [])
    assert table(made["search"])[0] == [f"`{FIRST}`", "300", "0.001: 0.400, 0.002: 0.450", "0.002", "abc"]
    assert table(made["budget"])[0] == [f"`{FIRST}`", "2.16", "2,500", "20,000", "100", "2 cores", "abc"]
    assert table(made["costs"])[0] == [f"`{FIRST}`", "-", "-", "6.3", "2560 x 2560", "1.23", "2 cores", "abc"]


def test_plots_show_each_config_and_are_reproducible(tmp_path: Path) -> None:
    curve = [Validation(images=images, ap=ap, ap50=0.9) for images, ap in ((1000, 0.3), (2000, 0.5))]
    run = run_on(DATA).model_copy(update={"learning_curve": curve, "scenes": Figures(ap=0.5, ap50=0.9)})
    known = {name: ConfigResults(config=name, runs=[run], scene=COST) for name in (FIRST, SECOND)}
    rows = read_rows(known, tmp_path, {})
    for plot in (accuracy_and_time(known, rows), learning_curves(rows)):
        assert plot is not None
        assert FIRST in plot
        assert SECOND in plot
        assert LINE_UP[2] not in plot
    assert learning_curves(rows) == learning_curves(rows)


def test_cuda_table_shows_the_speed_up_over_each_mode_that_was_measured() -> None:
    trained = CudaTraining(seconds=60.4, planned=100, iterations=90, images=720, metrics=AP)
    rows = cuda_table({"a": CUDA, "b": CUDA.model_copy(update={"trained": trained}), "c": None}).splitlines()[2:]
    assert rows == [
        "| `a` | 30.0 | 3.00 | - | 80.0 | 4.00 | - | - | - | - |",
        "| `b` | 30.0 | 3.00 | - | 80.0 | 4.00 | 60 | 720 | 0.500 | 0.500 |",
        "| `c` | not yet run | - | - | - | - | - | - | - | - |",
    ]
