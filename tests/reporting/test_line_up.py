from pathlib import Path

import pytest

from oil_storage.reporting.line_up import line_up

SPEED = {
    "parameters": 3_264_000,
    "gflops": 19.24,
    "training": {"p50": 0.4512},
    "inference": {"p50": 0.31},
    "hardware": "2 cores",
}
CUDA = {"images_per_second": 35.2, "hardware": "a GPU"}
LEARNS = {"ap50": 0.93, "wanted": 0.9, "iterations": 450, "seconds": 301.2}


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f'"""Detector {name}.\n\nMore.\n"""\n')
    return tmp_path


def test_what_is_known_stands_in_the_line(configs: Path) -> None:
    shown = line_up(configs, {"a": {"speed": SPEED, "learns": LEARNS, "cuda": CUDA}})
    assert "| `a` | Detector a | 3.3 | 19 | 0.45 | 0.31 | 35 | 0.93 in 450 iterations, 301 s | - | - |\n" in shown
    assert "| `b` | Detector b | - | - | - | - | - | - | - | - |\n" in shown
    assert shown.endswith("Costs: 2 cores. CUDA: a GPU.\n")


def test_a_config_that_has_not_learnt_is_not_said_to_learn(configs: Path) -> None:
    assert "| not yet: 0.89 in 450" in line_up(configs, {"b": {"learns": {**LEARNS, "ap50": 0.89}}})
