from pathlib import Path

import pytest

from oil_storage.cli.train import main as train
from oil_storage.errors import UserError
from oil_storage.figures import ConfigResults, Trial
from oil_storage.reporting.short_runs import BUDGET_MINUTES, budget_of, short_run, with_trial
from oil_storage.training_log import validations
from tests.tiny_training import write_config, write_data

TRIAL = Trial(
    learning_rate=1e-3, seed=0, iterations=100, images=800, ap=0.4, ap50=0.7, hardware="2 cores", commit="abc"
)


def test_short_run_is_read_from_its_checkpoint_and_log(tmp_path: Path) -> None:
    config = write_config(tmp_path, write_data(tmp_path), train_cfg__max_iters=2, train_cfg__val_interval=2)
    options = ["optim_wrapper.optimizer.lr=0.002", "+train_dataloader.dataset.scenes_fraction=0.5"]
    work_dir = tmp_path / "work"
    assert train([str(config), "--work-dir", str(work_dir), "--seed", "3", "--cfg-options", *options]) == 0
    name, trial, seconds = short_run(work_dir)
    assert name == config.stem
    assert (trial.learning_rate, trial.seed, trial.iterations, trial.images) == (0.002, 3, 2, 4)
    assert trial.ap == validations(work_dir)[2]["coco/bbox_mAP"]
    assert seconds > 0
    with pytest.raises(UserError, match="no checkpoint"):
        short_run(tmp_path)
    for log in work_dir.glob("*/vis_data/scalars.json"):
        log.unlink()
    with pytest.raises(UserError, match=r"iter_2\.pth: .* no validation at its end"):
        short_run(work_dir)


def test_budget_is_the_number_of_iterations_that_fit_into_the_time() -> None:
    budget = budget_of(TRIAL, 2.16)
    assert budget.iterations * 2.16 <= 60 * BUDGET_MINUTES < (budget.iterations + 1) * 2.16
    assert budget.images == 8 * budget.iterations
    assert ConfigResults.model_validate(ConfigResults(config="a", budget=budget).model_dump()).budget == budget


def test_trial_replaces_the_one_with_equal_settings() -> None:
    faster = TRIAL.model_copy(update={"learning_rate": 2e-3})
    again = TRIAL.model_copy(update={"ap": 0.5})
    assert with_trial(with_trial([], faster), TRIAL) == [TRIAL, faster]
    assert with_trial([TRIAL, faster], again) == [again, faster]
    longer = TRIAL.model_copy(update={"iterations": 200})
    assert with_trial([TRIAL], longer) == [TRIAL, longer]
