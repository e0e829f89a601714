"""Stop training when it has diverged or reached its goal."""

import math
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from oil_storage.errors import UserError
from oil_storage.figures import metric_key

SHOWN = 8
"""Maximum number of images that a message names."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Hook that stops training at the first loss that is not finite, before a checkpoint is written.

    Raises:
        UserError: the loss is not finite.
    """

    priority = "VERY_HIGH"  # before logging and checkpoints

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Check the loss. This costs no additional synchronisation, because mmengine logs the loss anyway."""
        loss = float(outputs["loss"].detach())
        if not math.isfinite(loss):
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            samples = (data_batch or {}).get("data_samples", [])
            images = ", ".join(Path(sample.img_path).name for sample in samples[:SHOWN])
            more = f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else ""
            raise UserError(
                f"{runner.work_dir}: loss is {loss} in iteration {runner.iter + 1} at learning rate {rate:.3g};\n"
                f"images of the batch: {images}{more};\n"
                "check their boxes, reduce optim_wrapper.optimizer.lr, or extend the warm-up in param_scheduler"
            )


@HOOKS.register_module()
class StopWhenLearntHook(Hook):
    """Hook that stops training after a validation if the AP50 is reached or the time limit has passed.

    The time limit is the key ``most_seconds`` of the config. It is not an argument of the hook, because a resumed run
    must have the same hooks, but may have another time limit.

    Args:
        ap50: AP50 to reach.
    """

    priority = "VERY_LOW"

    def __init__(self, ap50: float) -> None:
        self.ap50 = ap50

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Stop if AP50 or the training time has reached its limit."""
        seconds = float(runner.message_hub.log_scalars["train/time"].data[0].sum())
        if (metrics or {}).get(metric_key("mAP_50"), 0.0) >= self.ap50 or seconds > runner.cfg.most_seconds:
            runner.train_loop.stop_training = True
