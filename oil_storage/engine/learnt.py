"""When a training has shown what it was to show."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

AP50 = "coco/bbox_mAP_50"
"""What :class:`oil_storage.evaluation.dense_coco.DenseCocoMetric` calls it."""


@HOOKS.register_module()
class StopWhenLearntHook(Hook):
    """Ends a training when it scores enough, or has taken long enough.

    Args:
        ap50: to be reached.
        seconds: of iterations, at most.
    """

    priority = "VERY_LOW"

    def __init__(self, ap50: float, seconds: float) -> None:
        self.ap50 = ap50
        self.seconds = seconds

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Look at the score."""
        taken = float(runner.message_hub.log_scalars["train/time"].data[0].sum())
        if (metrics or {}).get(AP50, 0.0) >= self.ap50 or taken > self.seconds:
            runner.train_loop.stop_training = True
