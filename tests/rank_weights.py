"""Hook for distributed training that saves the final state of each rank."""

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module(force=True)
class RankWeightsHook(Hook):
    """Hook that writes the parameters and the samples of each rank to ``rank_<n>.pth``."""

    def __init__(self) -> None:
        self.images: list[str] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.images += [sample.img_path for sample in data_batch["data_samples"]]

    def after_train(self, runner: Any) -> None:
        weights = dict(runner.model.module.named_parameters())
        torch.save({"weights": weights, "images": self.images}, Path(runner.work_dir, f"rank_{runner.rank}.pth"))
