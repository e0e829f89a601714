from pathlib import Path

import pytest

from oil_storage.errors import UserError
from oil_storage.figures import ConfigResults
from oil_storage.reporting.config_table import config_table
from tests.reporting.test_results import DATA, but, run_on

SPEED = {
    "parameters": 3_264_000,
    "gflops": 19.24,
    "input": [512, 512],
    "training": {"p50": 0.4512, "p95": 0.5, "throughput": 2.2, "batch": 2},
    "inference": {"p50": 0.31, "p95": 0.4, "throughput": 3.2},
    "memory_gb": 1.0,
    "precision": "float32",
    "hardware": "2 cores",
}
CUDA = {
    "images_per_second": 35.2,
    "loss": [2.0, 1.0],
    "memory_gb": 1.0,
    "batch": 2,
    "input": [512, 512],
    "hardware": "a GPU",
}
LEARNS = {"ap50": 0.93, "wanted": 0.9, "iterations": 450, "seconds": 301.2, "hardware": "2 cores", "commit": "abc"}


def known(**parts: dict[str, object]) -> dict[str, ConfigResults]:
    return {name: ConfigResults.model_validate({"config": name, **content}) for name, content in parts.items()}


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f'"""Detector {name}.\n\nMore.\n"""\n')
    return tmp_path


def test_row_holds_all_recorded_figures(configs: Path) -> None:
    shown = config_table(configs, known(a={"speed": SPEED, "learns": LEARNS, "cuda": CUDA}))
    assert "| `a` | Detector a | 3.3 | 19 | 0.45 | 0.31 | 35 | 0.93 in 450 iterations, 301 s | - | - |\n" in shown
    assert "| `b` | Detector b | - | - | - | - | - | - | - | - |\n" in shown
    assert shown.endswith("Costs: 2 cores. CUDA: a GPU.\n")


def test_times_from_other_hardware_are_marked(configs: Path) -> None:
    slower = {"speed": SPEED | {"hardware": "a slower one"}}
    shown = config_table(configs, known(a={"speed": SPEED}, b=slower, gone={"speed": SPEED}))
    assert "| `a` | Detector a | 3.3 | 19 | 0.45 | 0.31 |" in shown
    assert r"| `b` | Detector b | 3.3 | 19 | 0.45\* | 0.31\* |" in shown
    assert r"Costs: 2 cores; \* a slower one." in shown


def test_ap_is_the_mean_over_seeds_without_tta(configs: Path) -> None:
    metrics = [{"coco/bbox_mAP": ap, "coco/bbox_mAP_50": ap + 0.3} for ap in (0.5, 0.51, 0.6, 0.7)]
    first, second, third, fourth = (but(run_on(DATA), metrics=each) for each in metrics)
    runs = [first, second, but(third, tta=True), but(fourth, split="test")]
    shown = config_table(configs, {"a": ConfigResults(config="a", runs=runs)})
    assert "| `a` | Detector a | - | - | - | - | - | - | 0.505 | 0.805 |" in shown


def test_syntax_error_in_a_config_names_file_and_line(configs: Path) -> None:
    (configs / "b.py").write_text("model = (\n")
    with pytest.raises(UserError, match=r"b\.py:1: '\(' was never closed"):
        config_table(configs, {})


def test_missing_figure_is_a_dash(configs: Path) -> None:
    run = but(run_on(DATA), metrics={"coco/bbox_mAP": None, "coco/bbox_mAP_50": 0.8})
    assert "| - | - | 0.800 |" in config_table(configs, {"a": ConfigResults(config="a", runs=[run])})


def test_config_that_failed_the_learning_check_is_marked(configs: Path) -> None:
    assert "| not yet: 0.89 in 450" in config_table(configs, known(b={"learns": {**LEARNS, "ap50": 0.89}}))
