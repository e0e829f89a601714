"""A training that has diverged ends, before a checkpoint of it is written."""

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from oil_storage.errors import UserError


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first loss that is no number.

    Raises:
        UserError: out of the train loop.
    """

    priority = "VERY_HIGH"  # before anything is logged or saved

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Look at the loss, which mmengine has fetched from the device for the log anyway."""
        loss = float(outputs["loss"].detach())
        if not math.isfinite(loss):
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            raise UserError(
                f"{runner.work_dir}: loss {loss} in iteration {runner.iter + 1}, at a learning rate of {rate:.3g};\n"
                "lower optim_wrapper.optimizer.lr, or warm up for longer (param_scheduler)"
            )
