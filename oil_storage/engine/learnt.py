"""When a training has shown what it was to show."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

AP50 = "coco/bbox_mAP_50"
"""What :class:`oil_storage.evaluation.dense_coco.DenseCocoMetric` calls it."""


@HOOKS.register_module()
class StopWhenLearntHook(Hook):
    """Ends a training when it scores enough, or its iterations have taken the config's ``most_seconds``.

    That limit is no setting of the hook's: a training may be resumed with another.

    Args:
        ap50: to be reached.
    """

    priority = "VERY_LOW"

    def __init__(self, ap50: float) -> None:
        self.ap50 = ap50

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Look at the score."""
        taken = float(runner.message_hub.log_scalars["train/time"].data[0].sum())
        if (metrics or {}).get(AP50, 0.0) >= self.ap50 or taken > runner.cfg.most_seconds:
            runner.train_loop.stop_training = True
