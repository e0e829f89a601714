import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cuda import CONFIGS, main
from oil_storage.figures import ConfigResults


@pytest.mark.parametrize("arguments", [["--pack"], ["tiles.zip"], ["tiles.zip", "--configs", "none.py", "--out", "x"]])
def test_missing_arguments_are_reported(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_rehearsal_measures_trains_and_tests_each_config_and_reports_one_that_fails(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(f'_base_ = ["{CONFIGS[0].resolve()}"]\nmodel = dict(bbox_head=dict(type="NoSuchHead"))\n')
    command = [sys.executable, "-m", "benchmarks.cuda", "--rehearse", "--minutes", "60", "--out", str(tmp_path / "out")]
    configs = [broken, *CONFIGS]
    done = subprocess.run([*command, "--configs", *map(str, configs)], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "NoSuchHead" in done.stderr
    assert [path.stem for path in sorted((tmp_path / "out").iterdir())] == sorted(path.stem for path in CONFIGS)
    for path in CONFIGS:
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
