"""Train small versions of detectors on a few tiles to see whether a config learns at all.

Head, losses, assigner, box coder, anchors and denoising stay as they are; width and depth of what is before them, and
the number of queries, proposals and sampled proposals, shrink. No neck hides SSD512's width from its head.
"""

import json
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

CNN_AP50, DETR_AP50 = 0.9, 0.5
"""AP50 that is enough; detectors of the DETR family take long from scratch."""
LEARNT = "learnt.json"
logger = logging.getLogger(__name__)

BATCH = 2
"""Tiles in a step; on CPUs many small steps teach more than few large ones."""
ITERATIONS = 2_000
"""Longest training: the learning rate's cosine reaches zero there."""
VALIDATED = 50
"""Iterations between two scores."""
RATES = {"SGD": 0.01, "AdamW": 1e-3}
DETR_RATE, PLAIN_DETR_RATE = 2e-4, 1e-4
VGG_RATE = 1e-3
"""Learning rates that suit small models from scratch; the VGG of SSD has no batch norms, and diverges at SGD's."""
RESNET_WIDTH = 32
"""Most channels of a small ResNet's first stage, where there are 64."""
QUERIES = 100
CANDIDATES, PROPOSALS = 600, 300
"""Proposals of a level before NMS, and of an image after it; NMS of thousands takes a CPU longer than all layers."""
SAMPLES = 96
"""Proposals that are sampled for the loss."""
VGG_NARROWING = 4
"""Divisor of the channels of SSD's VGG."""


def learn(path: Path, data: Path, work_dir: Path, minutes: float) -> Learnt:
    """Train one config, or resume where an earlier call was stopped or ran out of time; finished ones are skipped.

    Args:
        path: config file.
        data: prepared tiles.
        work_dir: folder of this config's training.
        minutes: time limit.

    Raises:
        TrainingInterrupted: see :func:`oil_storage.engine.training.train`.
    """
    cfg = config.load(path)
    wanted = DETR_AP50 if "num_queries" in cfg.model else CNN_AP50
    text: str = overfitting(cfg, data, wanted).pretty_text
    written, learnt = work_dir.with_suffix(".py"), work_dir / LEARNT  # beside the folder, where mmengine writes its own
    if work_dir.is_dir() and not (written.is_file() and written.read_text("utf-8") == text):
        logger.warning("%s: holds a training of another config; it is deleted", work_dir)
        shutil.rmtree(work_dir)
    elif learnt.is_file():
        before = Learnt.load(learnt)
        if before.ap50 >= wanted or before.seconds >= 60 * minutes:
            return before
    write_text(written, text)
    small = config.load(written, work_dir=work_dir)
    small.most_seconds = 60 * minutes  # not in the file: more time does not make it another training
    train(small, resume=AUTO if find_last(work_dir) else None)
    last = find_last(work_dir)
    assert last is not None  # a training that ended well leaves one
    meta = Checkpoint.read(last).meta
    assert meta.trained is not None  # our own training wrote it
    reached = Learnt(
        ap50=_last_score(work_dir),
        wanted=wanted,
        iterations=meta.iter or 0,
        seconds=round(meta.trained.seconds or 0.0, 1),
        hardware=meta.trained.hardware,
        commit=meta.trained.commit,
    )
    reached.save(learnt)
    return reached


def _last_score(work_dir: Path) -> float:
    """Return the last AP50 that a training has logged."""
    logs = sorted(work_dir.glob("*/vis_data/scalars.json"))
    entries = [json.loads(line) for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    return float([entry[metric_key("mAP_50")] for entry in entries if metric_key("mAP_50") in entry][-1])


def overfitting(cfg: Config, data: Path, ap50: float) -> Config:
    """Make a config train its detector, small, on the few tiles of ``data``; return it.

    Model (but for its size), optimiser, precision and test pipeline are the config's; learning rate, schedule, image
    size and augmentation (none) are not, nor is plain DETR's dropout (none).

    Args:
        cfg: of ``configs/oil/``; changed in place.
        data: see :func:`oil_storage.preparation.overfit_tiles.write_overfit_tiles`.
        ap50: score on the training tiles at which training ends.
    """
    # steps must be many, and so cheap, where one replaces 0.3 % of TensorFlow's running means
    has_slow_means = cfg.model.backbone.get("norm_cfg", {}).get("momentum", 1.0) < 0.01
    side = TILE if has_slow_means else 2 * TILE
    pipeline = cfg.test_dataloader.dataset.pipeline
    test = [{**step, "scale": (side, side)} if "scale" in step else step for step in pipeline]
    resizes = [step for step in test if step["type"] == "Resize"]
    train = [*test[:1], {"type": "LoadAnnotations", "with_bbox": True}, *resizes, {"type": "PackDetInputs"}]
    shrink(cfg)
    model = cfg.model
    # few tiles mislead the running means of RTMDet-m, and DETR's matching, which has nothing but the loss to go by
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
    """Remove DETR's dropout: from scratch, its queries differ by less, and all would predict the same box."""
    for layers in (model.encoder.layer_cfg, model.decoder.layer_cfg):
        layers.ffn_cfg.ffn_drop = 0.0
        for name in ("self_attn_cfg", "cross_attn_cfg"):
            if name in layers:
                layers[name].dropout = 0.0


def shrink(cfg: Config, queries: int = QUERIES) -> None:
    """Make a config's detector small, and train all of it from scratch.

    Args:
        cfg: of any config in ``configs/oil/``; its model is changed in place.
        queries: how many a detector of the DETR family is to have; more than a tile has objects.
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
            model[coder].num_layers = 2  # DDQ's distinct queries need two
    if "num_queries" in model:
        model.num_queries = model.test_cfg.max_per_img = queries
    if "rpn_head" in model:
        for stage in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
            stage.update(nms_pre=CANDIDATES, max_per_img=PROPOSALS)
        stages = model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = SAMPLES


def _shrink_resnet(model: Any) -> None:
    """Take ResNet-18 in half its width: a sixteenth of the channels of ResNet-50's stages."""
    before = model.backbone.get("base_channels", 64)
    width = min(before, RESNET_WIDTH)
    ratio = before // width * (4 if model.backbone.depth >= 50 else 1)  # bottlenecks widen four times
    model.backbone.update(depth=18, base_channels=width)
    model.neck.in_channels = [channels // ratio for channels in model.neck.in_channels]


def _shrink_csp(model: Any) -> None:
    """Take a quarter of the width and a sixth of the depth; the neck reads what the backbone gives."""
    ratio = model.backbone.widen_factor / 0.25
    model.backbone.update(widen_factor=0.25, deepen_factor=0.167)
    model.neck.in_channels = [int(channels / ratio) for channels in model.neck.in_channels]


def _shrink_vgg(model: Any) -> None:
    """Take VGG-11 and SSD's levels after it in a quarter of their width."""
    # layers of the stride and width of those that SSD reads in VGG-16
    model.backbone.update(type="NarrowSSDVGG", narrowing=VGG_NARROWING, depth=11, out_feature_indices=(14, 24))
    for part, key in ((model.neck, "in_channels"), (model.neck, "out_channels"), (model.bbox_head, "in_channels")):
        part[key] = [channels // VGG_NARROWING for channels in part[key]]
