"""Train small versions of detectors on a few tiles: does a config learn at all?

Head, losses, assigner, box coder, anchors and denoising stay as they are; width and depth of what is before them, and
the number of queries, proposals and sampled proposals, shrink. No neck hides SSD512's width from its head.
"""

import copy
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
RESNET_WIDTH = 32
"""Most channels of a small ResNet's first stage, where there are 64."""
QUERIES = 100
LAYERS = 2
"""Of encoder and decoder; DDQ's distinct queries need two."""
CANDIDATES, PROPOSALS = 600, 300
"""Of a level before NMS, and of an image after it; NMS of thousands takes a CPU longer than all layers."""
SAMPLES = 96
"""Of the proposals, for the loss."""
VGG_DEPTH = 11
VGG_FEATURES = (14, 24)
"""Layers of VGG-11 of the stride and width of those that SSD reads in VGG-16."""
VGG_NARROWING = 4


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
    text: str = overfitting(cfg, data, wanted, minutes).pretty_text
    written, learnt = work_dir.with_suffix(".py"), work_dir / LEARNT  # beside the folder, where mmengine writes its own
    if work_dir.is_dir() and not (
        written.is_file() and _without_limit(written.read_text("utf-8")) == _without_limit(text)
    ):
        logger.warning("%s: holds a training of another config; it is deleted", work_dir)
        shutil.rmtree(work_dir)
    elif learnt.is_file():
        before = Learnt.load(learnt)
        if before.ap50 >= wanted or before.seconds >= 60 * minutes:
            return before
    write_text(written, text)
    train(config.load(written, work_dir=work_dir), resume=AUTO if find_last(work_dir) else None)
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


def _without_limit(text: str) -> list[str]:
    """Return the lines of a config without its time limit."""
    return [line for line in text.splitlines() if not line.startswith("most_seconds = ")]


def _last_score(work_dir: Path) -> float:
    """Return the last AP50 that a training has logged."""
    logs = sorted(work_dir.glob("*/vis_data/scalars.json"))
    entries = [json.loads(line) for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    return float([entry[metric_key("mAP_50")] for entry in entries if metric_key("mAP_50") in entry][-1])


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
    small.val_evaluator = {"type": "DenseCocoMetric"}
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
            model[coder].num_layers = LAYERS
    if "num_queries" in model:
        model.num_queries = model.test_cfg.max_per_img = queries
    if "rpn_head" in model:
        _shrink_proposals(model)


def _shrink_proposals(model: Any) -> None:
    for stage in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        stage.update(nms_pre=CANDIDATES, max_per_img=PROPOSALS)
    cascade = isinstance(model.train_cfg.rcnn, list)
    for stage in model.train_cfg.rcnn if cascade else [model.train_cfg.rcnn]:
        stage.sampler.num = SAMPLES


def _shrink_resnet(model: Any) -> None:
    """ResNet-18 in half its width: a sixteenth of the channels of ResNet-50's stages."""
    bottleneck = model.backbone.depth >= 50
    before = model.backbone.get("base_channels", 64)
    width = min(before, RESNET_WIDTH)
    model.backbone.update(depth=18, base_channels=width)
    ratio = before // width * (4 if bottleneck else 1)
    model.neck.in_channels = [channels // ratio for channels in model.neck.in_channels]


def _shrink_csp(model: Any) -> None:
    """A quarter of the width, a sixth of the depth; the neck reads what the backbone gives."""
    ratio = model.backbone.widen_factor / 0.25
    model.backbone.update(widen_factor=0.25, deepen_factor=0.167)
    model.neck.in_channels = [int(channels / ratio) for channels in model.neck.in_channels]


def _shrink_vgg(model: Any) -> None:
    """VGG-11 and SSD's levels after it in a quarter of their width."""
    model.backbone.update(
        type="NarrowSSDVGG", narrowing=VGG_NARROWING, depth=VGG_DEPTH, out_feature_indices=VGG_FEATURES
    )
    for part, key in ((model.neck, "in_channels"), (model.neck, "out_channels"), (model.bbox_head, "in_channels")):
        part[key] = [channels // VGG_NARROWING for channels in part[key]]
