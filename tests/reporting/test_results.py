import json
from pathlib import Path
from typing import Any

import pytest

from oil_storage.cli.report import main
from oil_storage.errors import UserError
from oil_storage.reporting.results import record, table, training_time

DATA = {"name": "scenes", "scenes": 6, "annotations_sha256": "0" * 64, "split_seed": 0}


def write_run(work_dir: Path, seed: int, ap: float, **tested: Any) -> Path:
    """Write what a training and a test leave behind; ``tested`` overrides keys of ``metrics.json``."""
    scalars = work_dir / "20260101_000000" / "vis_data" / "scalars.json"
    scalars.parent.mkdir(parents=True)
    lines = [
        {"loss": 1.0, "time": 2.0, "step": 50},
        {"coco/bbox_mAP": 0.1, "step": 50},
        {"loss": 0.5, "time": 4.0, "step": 80},
    ]
    scalars.write_text("\n".join(json.dumps(line) for line in lines))
    (work_dir / "toy.py").write_text(
        f"randomness = dict(seed={seed})\ntrain_dataloader = dict(dataset=dict(data_root='prepared'))\n"
    )
    names = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m")
    metrics = {f"coco/bbox_{name}": ap for name in names} | {"coco/bbox_mAP_l": None}
    (work_dir / "val").mkdir()
    content = {
        "config": "configs/oil/toy.py",
        "checkpoint": str(work_dir / "iter_80.pth"),
        "data_root": "prepared",
        "data": DATA,
        "split": "val",
        "tta": False,
        "metrics": metrics,
    }
    (work_dir / "val" / "metrics.json").write_text(json.dumps(content | tested))
    return work_dir


def test_time_is_summed_over_iterations(tmp_path: Path) -> None:
    assert training_time(write_run(tmp_path / "run", 0, 0.5)) == (80, pytest.approx(50 * 2 + 30 * 4))
    with pytest.raises(UserError, match=r"scalars\.json"):
        training_time(tmp_path)


def test_runs_are_recorded_once_a_seed_and_shown(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("above\n<!-- results -->\nold\n<!-- /results -->\nbelow\n")
    arguments = ["--results", str(tmp_path / "results"), "--readme", str(readme)]
    runs = [write_run(tmp_path / f"run{i}", seed, ap) for i, (seed, ap) in enumerate([(1, 0.25), (0, 0.5), (1, 0.75)])]
    assert main([*map(str, runs), *arguments]) == 0
    content = json.loads((tmp_path / "results" / "toy.json").read_text())
    assert [(run["seed"], run["metrics"]["coco/bbox_mAP"]) for run in content["runs"]] == [(0, 0.5), (1, 0.75)]
    assert content["runs"][0]["metrics"]["coco/bbox_mAP_l"] is None
    shown = table(tmp_path / "results")
    assert "| `toy` | scenes | val | 1 | 0.750 |" in shown
    assert readme.read_text() == f"above\n<!-- results -->\n{shown}<!-- /results -->\nbelow\n"


def test_an_untested_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tools/test\.py with --split test"):
        record(write_run(tmp_path / "run", 0, 0.5), "test", tmp_path)


def test_a_run_on_other_data_stands_beside_the_first(tmp_path: Path) -> None:
    other = DATA | {"name": "others", "annotations_sha256": "1" * 64}
    for index, data in enumerate([DATA, other, other]):
        record(write_run(tmp_path / f"run{index}", 0, 0.1 * index, data=data), "val", tmp_path)
    runs = json.loads((tmp_path / "toy.json").read_text())["runs"]
    assert [(run["data"], run["metrics"]["coco/bbox_mAP"]) for run in runs] == [(other, 0.2), (DATA, 0.0)]


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        ({"checkpoint": "elsewhere/iter_80.pth"}, "is not of"),
        ({"data_root": "others"}, "was trained on prepared"),
        ({"tta": True}, "without --tta"),
        ({"split": "test"}, "scores the split 'test'"),
    ],
)
def test_a_score_of_something_else_is_refused(tmp_path: Path, tested: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        record(write_run(tmp_path / "run", 0, 0.5, **tested), "val", tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_no_results_leave_the_table_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results -->\nold\n<!-- /results -->\n")
    assert main(["--results", str(tmp_path), "--readme", str(readme)]) == 2
    assert "old" in readme.read_text()
