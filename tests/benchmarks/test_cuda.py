import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cuda import LINE_UP, main, table
from oil_storage.figures import ConfigResults, CudaCost, CudaTraining

AP = {f"coco/bbox_{name}": 0.5 for name in ("mAP", "mAP_50")}
COST = CudaCost(
    loss=[2.0, 1.0],
    images_per_second=30.0,
    inference=80.0,
    memory_gb=1.0,
    batch=8,
    input=[512, 512],
    hardware="a GPU",
    stock={"float32": {"training": 10.0, "inference": 20.0}},
)


def test_table_shows_the_speed_up_over_each_mode_that_was_measured() -> None:
    trained = CudaTraining(seconds=60.4, planned=100, iterations=90, images=720, metrics=AP)
    rows = table({"a": COST, "b": COST.model_copy(update={"trained": trained})}).splitlines()[2:]
    assert rows == [
        "| `a` | 30.0 | 3.00 | - | 80.0 | 4.00 | - | - | - | - |",
        "| `b` | 30.0 | 3.00 | - | 80.0 | 4.00 | 60 | 720 | 0.500 | 0.500 |",
    ]


@pytest.mark.parametrize("arguments", [["--pack"], ["tiles.zip"], ["tiles.zip", "--configs", "none.py", "--out", "x"]])
def test_missing_arguments_are_reported(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_rehearsal_measures_trains_and_tests_each_config_and_reports_one_that_fails(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(f'_base_ = ["{LINE_UP[0].resolve()}"]\nmodel = dict(bbox_head=dict(type="NoSuchHead"))\n')
    command = [sys.executable, "-m", "benchmarks.cuda", "--rehearse", "--minutes", "60", "--out", str(tmp_path / "out")]
    configs = [broken, *LINE_UP]
    done = subprocess.run([*command, "--configs", *map(str, configs)], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "NoSuchHead" in done.stderr
    assert [path.stem for path in sorted((tmp_path / "out").iterdir())] == sorted(path.stem for path in LINE_UP)
    for path in LINE_UP:
        cost = ConfigResults.load(tmp_path / "out" / f"{path.stem}.json").cuda
        assert cost is not None
        assert cost.trained is not None, done.stderr
        assert cost.images_per_second > 0
        assert (cost.inference or 0) > 0
        assert set(cost.stock) == {"float32"}
        assert "AmpOptim" in cost.failed["AMP"]
        assert cost.trained.iterations == cost.trained.planned
        assert cost.trained.images == cost.trained.iterations * cost.batch
        assert 0 <= (cost.trained.metrics["coco/bbox_mAP"] or 0) <= 1
