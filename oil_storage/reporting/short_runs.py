"""Short training runs for the benchmark: trials of learning rates, and measurements of the time of an iteration."""

from collections.abc import Sequence
from pathlib import Path

from oil_storage.errors import UserError
from oil_storage.figures import Budget, Trial, metric_key
from oil_storage.training_log import validations

BUDGET_MINUTES = 90.0
"""Training time of each config in the benchmark, on the machine where its iterations were measured."""


def short_run(work_dir: Path) -> tuple[str, Trial, float]:
    """Read a training run that was not tested. Return the name of its config, the run, and its seconds per iteration.

    Raises:
        UserError: the work dir has no checkpoint with a record of its training, or no validation after its last
            iteration.
    """
    from oil_storage.checkpoints.checkpoint import Checkpoint
    from oil_storage.checkpoints.trained_config import schedule
    from oil_storage.checkpoints.work_dir import find_last

    if (path := find_last(work_dir)) is None:
        raise UserError(f"{work_dir}: no checkpoint; use the work dir of tools/train.py")
    checkpoint = Checkpoint.read(path)
    meta = checkpoint.meta
    metrics = validations(work_dir).get(meta.iter or 0)
    if meta.trained is None or meta.trained.seconds is None or not meta.iter or metrics is None:
        raise UserError(f"{path}: has no complete record of its training and no validation at its end; train again")
    settings = schedule(checkpoint.trained_settings(), meta.iter, meta.trained.processes)
    trial = Trial(
        learning_rate=settings["learning_rate"],
        seed=meta.seed,
        iterations=meta.iter,
        images=settings["images_seen"],
        ap=metrics[metric_key("mAP")],
        ap50=metrics[metric_key("mAP_50")],
        hardware=meta.trained.hardware,
        commit=meta.trained.commit,
    )
    return meta.trained.config, trial, meta.trained.seconds / meta.iter


def budget_of(trial: Trial, seconds: float) -> Budget:
    """Compute how many iterations of a measured training, each of a number of seconds, fit into the budget."""
    iterations = int(60 * BUDGET_MINUTES / seconds)
    return Budget(
        minutes=BUDGET_MINUTES,
        iterations=iterations,
        images=iterations * trial.images // trial.iterations,
        seconds_per_iteration=float(f"{seconds:.4g}"),
        measured=trial.iterations,
        hardware=trial.hardware,
        commit=trial.commit,
    )


def with_trial(trials: Sequence[Trial], trial: Trial) -> list[Trial]:
    """Add a trial to earlier trials, sorted by learning rate. It replaces a trial with equal settings."""

    def settings(one: Trial) -> tuple[float, int, int]:
        return one.learning_rate, one.iterations, one.seed or 0

    return sorted([*(other for other in trials if settings(other) != settings(trial)), trial], key=settings)
