"""Detector, data set and schedule that train in seconds."""

import itertools
import json
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from oil_storage.preparation.prepare import prepare
from tests.raw_data import write_raw_data

NUMBERS = itertools.count()
RUNTIME = Path("configs/_base_/default_runtime.py").resolve()

CONFIG = """
_base_ = ["{runtime}"]
model = dict(
    type="RetinaNet",
    data_preprocessor=dict(type="DetDataPreprocessor", mean=[75.0] * 3, std=[50.0] * 3, pad_size_divisor=32),
    backbone=dict(type="ResNet", depth=18, base_channels=16, out_indices=(0, 1, 2, 3), norm_eval=False),
    neck=dict(type="FPN", in_channels=[16, 32, 64, 128], out_channels=16, start_level=1, num_outs=3),
    bbox_head=dict(
        type="RetinaHead", num_classes=1, in_channels=16, stacked_convs=1, feat_channels=16,
        anchor_generator=dict(
            type="AnchorGenerator", octave_base_scale=2, scales_per_octave=1, ratios=[1.0], strides=[8, 16, 32]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True), loss_bbox=dict(type="SmoothL1Loss")),
    train_cfg=dict(
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        sampler=dict(type="PseudoSampler"), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type="nms", iou_threshold=0.6), max_per_img=50))
tiles = dict(type="OilStorageDataset", data_root="{data}", tile=64, overlap=16)
load = [
    dict(type="LoadImageFromFile"), dict(type="Resize", scale=(64, 64)), dict(type="LoadAnnotations", with_bbox=True)]
pack = dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"))
augment = [dict(type="RandomFlip", prob=0.5), dict(type="RandomTranspose"), dict(type="PhotoMetricDistortion")]
train_dataloader = dict(
    batch_size=2, sampler=dict(type="SeededSampler"),
    dataset=dict(**tiles, split="train", pipeline=load + augment + [dict(type="PackDetInputs")]))
val_dataloader = dict(
    batch_size=4, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**tiles, split="val", test_mode=True, pipeline=load + [pack]))
test_dataloader = dict(
    batch_size=4, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**tiles, split="test", test_mode=True, pipeline=load + [pack]))
val_evaluator = dict(type="DenseCocoMetric")
test_evaluator = dict(type="DenseCocoMetric")
train_cfg = dict(type="IterBasedTrainLoop", max_iters=8, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=3),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=3, end=8)]
custom_hooks = [dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.1, update_buffers=True)]
default_hooks = dict(logger=dict(interval=1))
log_processor = dict(window_size=1)
"""

WITH_WORKERS: dict[str, Any] = {
    f"{loader}_dataloader__{key}": value
    for loader in ("train", "val")
    for key, value in {"num_workers": 1, "persistent_workers": True}.items()
}
"""Changes for :func:`write_config` that load data in worker processes."""


def write_data(folder: Path) -> Path:
    """Prepare four tiny scenes; return the prepared folder."""
    prepare(write_raw_data(folder / "raw", scenes=4, size=128, tanks=6), folder / "prepared", tile=64, overlap=16)
    return folder / "prepared"


def write_config(folder: Path, data: Path, **changes: Any) -> Path:
    """Write a config with ``changes``, whose keys have ``__`` in place of dots.

    Each config has a unique name, because mmengine identifies an experiment by the config's name and the start time in
    seconds.
    """
    path = folder / f"tiny_{next(NUMBERS)}.py"
    path.write_text(CONFIG.format(runtime=RUNTIME, data=data))
    cfg = Config.fromfile(path, import_custom_modules=False)
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    cfg.dump(path)
    return path


def losses(work_dir: Path) -> dict[int, float]:
    """Return the loss of each iteration, from all runs in a work dir."""
    losses_by_step = {}
    for log in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if "loss" in entry:
                losses_by_step[entry["step"]] = entry["loss"]
    return losses_by_step


def final_weights(work_dir: Path) -> dict[str, torch.Tensor]:
    """Return the averaged weights (``state_dict``) and the trained ones (``ema_state_dict``)."""
    checkpoint = torch.load(work_dir / "iter_8.pth", weights_only=False)
    return {**checkpoint["state_dict"], **{f"ema.{k}": v for k, v in checkpoint["ema_state_dict"].items()}}


def same_training(work_dir: Path, other: Path) -> bool:
    first, second = final_weights(work_dir), final_weights(other)
    return (
        losses(work_dir) == losses(other)
        and first.keys() == second.keys()
        and all(torch.equal(first[key], second[key]) for key in first)
    )
