"""Train small versions of detectors on a few tiles, to check that a config learns.

Head, losses, assigner, box coder, anchors and denoising are not changed. ResNet, CSP and VGG backbones get narrower and
shallower. Encoders and decoders get two layers. There are fewer queries, proposals and sampled proposals. The neck
accepts the narrower maps of the backbone. In SSD512, the neck and the input of the head get narrower too.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

from mmengine.config import Config

from oil_storage import config
from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.work_dir import find_last
from oil_storage.engine.from_scratch import from_scratch
from oil_storage.engine.training import AUTO, train
from oil_storage.figures import Learnt, metric_key
from oil_storage.files import write_text
from oil_storage.preparation.overfit_tiles import COUNT, TILE
from oil_storage.training_log import validations

CNN_AP50, DETR_AP50 = 0.9, 0.5
"""AP50 to reach; it is lower for detectors of the DETR family, which learn slowly from scratch."""
LEARNT = "learnt.json"
logger = logging.getLogger(__name__)

BATCH = 2
"""Batch size. On CPUs, many small steps reach the goal sooner than few large steps."""
ITERATIONS = 2_000
"""Maximum number of iterations."""
VALIDATED = 50
"""Iterations between validations."""
RATES = {"SGD": 0.01, "AdamW": 1e-3}
DETR_RATE, PLAIN_DETR_RATE = 2e-4, 1e-4
VGG_RATE = 1e-3
"""Learning rates for small models from scratch. The VGG of SSD has no batch norm and diverges at the rate for SGD."""
RESNET_WIDTH = 32
"""Maximum number of channels in the first stage of a small ResNet."""
QUERIES = 100
CANDIDATES, PROPOSALS = 600, 300
"""Proposals per level before NMS and per image after NMS. On CPUs, NMS of thousands of boxes takes most of the time."""
SAMPLES = 96
"""Number of proposals sampled for the loss."""
VGG_NARROWING = 4
"""Divisor of the number of channels in the VGG of SSD."""


def learn(path: Path, data: Path, work_dir: Path, minutes: float) -> Learnt:
    """Train a small version of the detector of a config.

    If an earlier run in ``work_dir`` reached the required AP50 or used up the time limit, return its result. If it was
    stopped early, resume it. If its config has changed, delete it and start again.

    Args:
        path: config file.
        data: prepared tiles.
        work_dir: work dir of the training.
        minutes: time limit.

    Raises:
        TrainingInterrupted: see :func:`oil_storage.engine.training.train`.
    """
    cfg = config.load(path)
    wanted = DETR_AP50 if "num_queries" in cfg.model else CNN_AP50
    text: str = overfitting(cfg, data, wanted).pretty_text
    written, learnt = work_dir.with_suffix(".py"), work_dir / LEARNT  # mmengine writes its own config into work_dir
    if work_dir.is_dir() and not (written.is_file() and written.read_text("utf-8") == text):
        logger.warning("%s: deleted, because the config has changed since this training run", work_dir)
        shutil.rmtree(work_dir)
    elif learnt.is_file():
        before = Learnt.load(learnt)
        if before.ap50 >= wanted or before.seconds >= 60 * minutes:
            return before
    write_text(written, text)
    small = config.load(written, work_dir=work_dir)
    small.most_seconds = 60 * minutes  # not in the file, so that the time limit can be raised later
    train(small, resume=AUTO if find_last(work_dir) else None)
    last = find_last(work_dir)
    assert last is not None
    meta = Checkpoint.read(last).meta
    assert meta.trained is not None
    reached = Learnt(
        ap50=[*validations(work_dir).values()][-1][metric_key("mAP_50")],
        wanted=wanted,
        iterations=meta.iter or 0,
        seconds=round(meta.trained.seconds or 0.0, 1),
        hardware=meta.trained.hardware,
        commit=meta.trained.commit,
    )
    reached.save(learnt)
    return reached


def overfitting(cfg: Config, data: Path, ap50: float) -> Config:
    """Change a config to train a small version of its detector on a few tiles, and return it.

    The config keeps its optimiser, precision and test pipeline, and its model except for the size. The learning rate,
    the schedule and the image size are replaced. There is no augmentation, and no dropout in plain DETR.

    Args:
        cfg: config in ``configs/oil/``; changed in place.
        data: see :func:`oil_storage.preparation.overfit_tiles.write_overfit_tiles`.
        ap50: AP50 on the training tiles at which training ends.
    """
    # TensorFlow's running means change by 0.3 % per step, so many steps are needed, and they must be cheap
    has_slow_means = cfg.model.backbone.get("norm_cfg", {}).get("momentum", 1.0) < 0.01
    side = TILE if has_slow_means else 2 * TILE
    pipeline = cfg.test_dataloader.dataset.pipeline
    test = [{**step, "scale": (side, side)} if "scale" in step else step for step in pipeline]
    resizes = [step for step in test if step["type"] == "Resize"]
    train = [*test[:1], {"type": "LoadAnnotations", "with_bbox": True}, *resizes, {"type": "PackDetInputs"}]
    shrink(cfg)
    model = cfg.model
    # batches of few tiles disturb the running means of RTMDet-m and the matching of DETR
    needs_all_tiles = model.type == "DETR" or model.backbone.type == "CSPNeXt"
    tiles = {"type": "OilStorageDataset", "data_root": str(data), "split": "train", "tile": TILE, "overlap": 0}
    cfg.merge_from_dict({"model.data_preprocessor.batch_augments": None})
    cfg.train_dataloader = {
        "batch_size": COUNT if needs_all_tiles else BATCH,
        "num_workers": 0,
        "sampler": {"type": "SeededSampler"},
        "dataset": {**tiles, "pipeline": train},
    }
    cfg.val_dataloader = cfg.test_dataloader = {
        "batch_size": COUNT,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": {**tiles, "test_mode": True, "pipeline": test},
    }
    cfg.val_evaluator = cfg.test_evaluator = {"type": "DenseCocoMetric"}
    cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": ITERATIONS, "val_interval": VALIDATED}
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.lr = DETR_RATE if "num_queries" in model else RATES[optimizer.type]
    if model.backbone.type == "NarrowSSDVGG":
        optimizer.lr = VGG_RATE
    if model.type == "DETR":
        optimizer.lr = PLAIN_DETR_RATE
        _remove_dropout(model)
    cfg.optim_wrapper.get("paramwise_cfg", {}).pop("custom_keys", None)
    cfg.param_scheduler = [
        {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": VALIDATED},
        {"type": "CosineAnnealingLR", "by_epoch": False, "begin": VALIDATED, "end": ITERATIONS},
    ]
    cfg.custom_hooks = [{"type": "StopWhenLearntHook", "ap50": ap50}]
    if cfg.get("auto_scale_lr"):
        cfg.auto_scale_lr.enable = False
    return cfg


def _remove_dropout(model: Any) -> None:
    """Remove DETR's dropout. With it, all queries would predict the same box when training from scratch."""
    for layers in (model.encoder.layer_cfg, model.decoder.layer_cfg):
        layers.ffn_cfg.ffn_drop = 0.0
        for name in ("self_attn_cfg", "cross_attn_cfg"):
            if name in layers:
                layers[name].dropout = 0.0


def shrink(cfg: Config, queries: int = QUERIES) -> None:
    """Make the detector of a config small, and disable pretrained weights.

    Args:
        cfg: config in ``configs/oil/``; its model is changed in place.
        queries: number of queries of DETR-type detectors. It must exceed the number of objects in a tile.
    """
    from_scratch(cfg)
    model = cfg.model
    match model.backbone.type:
        case "ResNet":
            _shrink_resnet(model)
        case "CSPNeXt" | "CSPDarknet":
            _shrink_csp(model)
        case "SSDVGG":
            _shrink_vgg(model)
    for coder in ("encoder", "decoder"):
        if coder in model:
            model[coder].num_layers = 2  # DDQ needs two
    if "num_queries" in model:
        model.num_queries = model.test_cfg.max_per_img = queries
    if "rpn_head" in model:
        for stage in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
            stage.update(nms_pre=CANDIDATES, max_per_img=PROPOSALS)
        stages = model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = SAMPLES


def _shrink_resnet(model: Any) -> None:
    """Replace a ResNet by ResNet-18 with at most :data:`RESNET_WIDTH` channels in the first stage."""
    before = model.backbone.get("base_channels", 64)
    width = min(before, RESNET_WIDTH)
    ratio = before // width * (4 if model.backbone.depth >= 50 else 1)  # bottlenecks have four times as many outputs
    model.backbone.update(depth=18, base_channels=width)
    model.neck.in_channels = [channels // ratio for channels in model.neck.in_channels]


def _shrink_csp(model: Any) -> None:
    """Set the width factor of a CSP backbone to 0.25 and its depth factor to 0.167, and adapt the neck."""
    ratio = model.backbone.widen_factor / 0.25
    model.backbone.update(widen_factor=0.25, deepen_factor=0.167)
    model.neck.in_channels = [int(channels / ratio) for channels in model.neck.in_channels]


def _shrink_vgg(model: Any) -> None:
    """Replace VGG-16 by VGG-11, and reduce it and the additional levels of SSD to a quarter of their width."""
    # the output layers have the same stride and width as those of VGG-16
    model.backbone.update(type="NarrowSSDVGG", narrowing=VGG_NARROWING, depth=11, out_feature_indices=(14, 24))
    for part, key in ((model.neck, "in_channels"), (model.neck, "out_channels"), (model.bbox_head, "in_channels")):
        part[key] = [channels // VGG_NARROWING for channels in part[key]]
