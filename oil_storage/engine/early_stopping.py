"""End a training early: when it has diverged, or when it has reached its goal."""

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from oil_storage.errors import UserError
from oil_storage.figures import metric_key


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first loss that is not finite, before a checkpoint is written.

    Raises:
        UserError: out of the train loop.
    """

    priority = "VERY_HIGH"  # before anything is logged or saved

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Check the loss, which mmengine has fetched from the device for the log anyway."""
        loss = float(outputs["loss"].detach())
        if not math.isfinite(loss):
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            raise UserError(
                f"{runner.work_dir}: loss {loss} in iteration {runner.iter + 1}, at a learning rate of {rate:.3g};\n"
                "lower optim_wrapper.optimizer.lr, or warm up for longer (param_scheduler)"
            )


@HOOKS.register_module()
class StopWhenLearntHook(Hook):
    """Ends a training when its AP50 is reached, or its iterations have taken the config's ``most_seconds``.

    That limit is not an argument of the hook, so that a training can be resumed with another.

    Args:
        ap50: score to reach.
    """

    priority = "VERY_LOW"

    def __init__(self, ap50: float) -> None:
        self.ap50 = ap50

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Compare score and time with the limits."""
        seconds = float(runner.message_hub.log_scalars["train/time"].data[0].sum())
        if (metrics or {}).get(metric_key("mAP_50"), 0.0) >= self.ap50 or seconds > runner.cfg.most_seconds:
            runner.train_loop.stop_training = True
