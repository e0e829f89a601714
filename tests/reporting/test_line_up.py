from pathlib import Path

import pytest

from oil_storage.errors import UserError
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


def test_seconds_from_elsewhere_are_marked(configs: Path) -> None:
    known = {"a": {"speed": SPEED}, "b": {"speed": SPEED | {"hardware": "a slower one"}}, "gone": {"speed": SPEED}}
    shown = line_up(configs, known)
    assert "| `a` | Detector a | 3.3 | 19 | 0.45 | 0.31 |" in shown
    assert r"| `b` | Detector b | 3.3 | 19 | 0.45\* | 0.31\* |" in shown
    assert r"Costs: 2 cores; \* a slower one." in shown


def test_ap_is_the_mean_of_the_seeds_as_each_tile_was_seen_once(configs: Path) -> None:
    run = {"split": "val", "tta": False, "data": {"annotations_sha256": "0"}}
    metrics = [{"coco/bbox_mAP": ap, "coco/bbox_mAP_50": ap + 0.3} for ap in (0.5, 0.51, 0.6, 0.7)]
    runs = [run | {"metrics": one} for one in metrics]
    runs[2]["tta"] = True
    runs[3]["split"] = "test"
    assert "| `a` | Detector a | - | - | - | - | - | - | 0.505 | 0.805 |" in line_up(configs, {"a": {"runs": runs}})


@pytest.mark.parametrize(
    "damage", [{"speed": {**SPEED, "hardware": None, "gflops": None}}, {"learns": []}, {"cuda": {}}, {"runs": [{}]}]
)
def test_a_damaged_file_is_named(configs: Path, damage: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"^a\.json: damaged, or of another version"):
        line_up(configs, {"a": damage})


def test_a_broken_config_is_named(configs: Path) -> None:
    (configs / "b.py").write_text("model = (\n")
    with pytest.raises(UserError, match=r"b\.py: line 1: '\(' was never closed"):
        line_up(configs, {})


def test_where_no_box_is_there_is_no_figure(configs: Path) -> None:
    run = {"split": "val", "tta": False, "data": {"annotations_sha256": "0"}}
    metrics = {"coco/bbox_mAP": None, "coco/bbox_mAP_50": 0.8}
    assert "| - | - | 0.800 |" in line_up(configs, {"a": {"runs": [run | {"metrics": metrics}]}})


def test_a_config_that_has_not_learnt_is_not_said_to_learn(configs: Path) -> None:
    assert "| not yet: 0.89 in 450" in line_up(configs, {"b": {"learns": {**LEARNS, "ap50": 0.89}}})
