"""A config turned into a short training on a few tiles, scored on the same tiles: does it learn at all?"""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from oil_storage.engine.shrinking import shrink
from oil_storage.preparation.overfit_tiles import COUNT, TILE

BATCH = 2
"""On CPUs many small steps teach more than few large ones, but for :func:`_needs_all_tiles`."""
ITERATIONS = 2_000
"""At most: where the learning rate's cosine reaches zero."""
SLOW_MOMENTUM = 0.01
"""Of running means: more than 300 steps until they have forgotten how they began."""
VALIDATED = 50
"""Iterations between two scores."""
RATES = {"SGD": 0.01, "AdamW": 1e-3}
DETR_RATE, PLAIN_DETR_RATE = 2e-4, 1e-4
VGG_RATE = 1e-3
"""Learning rates that suit small models from scratch; the VGG of SSD has no batch norms, and diverges at SGD's."""
ENLARGED = 2
"""Times, where a config's test pipeline brings tiles to a size of its own, but for :func:`_has_slow_means`."""


def overfitting(cfg: Config, data: Path, ap50: float, minutes: float) -> Config:
    """The same detector, small, on the few tiles of ``data``.

    Model (but for its size), optimiser, precision and test pipeline are the config's; learning rate, schedule, image
    size and augmentation (none) are not, nor is plain DETR's dropout (none).

    Args:
        cfg: of ``configs/oil/``; not changed.
        data: see :func:`oil_storage.preparation.overfit_tiles.write_overfit_tiles`.
        ap50: score on the training tiles at which training ends.
        minutes: after which it ends in any case.

    Returns:
        Config: to be trained.
    """
    small: Config = copy.deepcopy(cfg)
    shrink(small)
    side = TILE if _has_slow_means(cfg.model) else ENLARGED * TILE
    test = [_resized(step, side) for step in cfg.test_dataloader.dataset.pipeline]
    resizes = [step for step in test if step["type"] == "Resize"]
    train = [*test[:1], {"type": "LoadAnnotations", "with_bbox": True}, *resizes, {"type": "PackDetInputs"}]
    tiles = {"type": "OilStorageDataset", "data_root": str(data), "split": "train", "tile": TILE, "overlap": 0}
    in_order = {"type": "DefaultSampler", "shuffle": False}
    small.merge_from_dict({"model.data_preprocessor.batch_augments": None})
    small.train_dataloader = {
        "batch_size": COUNT if _needs_all_tiles(small.model) else BATCH,
        "num_workers": 0,
        "sampler": {"type": "SeededSampler"},
        "dataset": {**tiles, "pipeline": train},
    }
    small.val_dataloader = {
        "batch_size": COUNT,
        "num_workers": 0,
        "sampler": in_order,
        "dataset": {**tiles, "test_mode": True, "pipeline": test},
    }
    small.val_evaluator = {"type": "DenseCocoMetric", "ann_file": str(data / f"tiles/{TILE}_0/train.json")}
    small.test_dataloader, small.test_evaluator = small.val_dataloader, small.val_evaluator
    small.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": ITERATIONS, "val_interval": VALIDATED}
    optimizer = small.optim_wrapper.optimizer
    optimizer.lr = DETR_RATE if "num_queries" in small.model else RATES[optimizer.type]
    if small.model.backbone.type == "NarrowSSDVGG":
        optimizer.lr = VGG_RATE
    if small.model.type == "DETR":
        optimizer.lr = PLAIN_DETR_RATE
        _without_dropout(small.model)
    small.optim_wrapper.get("paramwise_cfg", {}).pop("custom_keys", None)
    small.param_scheduler = [
        {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": VALIDATED},
        {"type": "CosineAnnealingLR", "by_epoch": False, "begin": VALIDATED, "end": ITERATIONS},
    ]
    small.custom_hooks = [{"type": "StopWhenLearntHook", "ap50": ap50}]
    small.most_seconds = 60 * minutes
    if "data_root" in small:  # a name that the config's own tiles have used up
        small.data_root = str(data)
    if small.get("auto_scale_lr"):
        small.auto_scale_lr.enable = False
    return small


def _needs_all_tiles(model: Any) -> bool:
    """Whether steps of :data:`BATCH` tiles mislead.

    They mislead the running means of RTMDet-m's batch norms, with which it finds half of what it finds with those of
    all tiles, and DETR's matching, which has nothing but the loss to go by.
    """
    return bool(model.type == "DETR" or model.backbone.type == "CSPNeXt")


def _has_slow_means(model: Any) -> bool:
    """Whether steps must be many, and so cheap: a step replaces 0.3 % of TensorFlow's running means."""
    return bool(model.backbone.get("norm_cfg", {}).get("momentum", 1.0) < SLOW_MOMENTUM)


def _without_dropout(model: Any) -> None:
    """From scratch, DETR's queries differ by less than dropout makes them differ: all would predict the same box."""
    for layers in (model.encoder.layer_cfg, model.decoder.layer_cfg):
        layers.ffn_cfg.ffn_drop = 0.0
        for name in ("self_attn_cfg", "cross_attn_cfg"):
            if name in layers:
                layers[name].dropout = 0.0


def _resized(step: Any, side: int) -> Any:
    return {**step, "scale": (side, side)} if "scale" in step else step
