"""Run detectors in PyTorch, as the config describes them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.model_weights import build_model
from oil_storage.engine.allocator import keep_freed_memory
from oil_storage.engine.bf16 import compute_as_configured
from oil_storage.engine.channels_last import to_channels_last
from oil_storage.engine.runner import use_scope
from oil_storage.engine.tta import use_tta
from oil_storage.errors import UserError, first_problem
from oil_storage.inference.candidates import Rules, select
from oil_storage.inference.raw_detector import RawDetector
from oil_storage.inference.tile_detector import Description, Prepared
from oil_storage.merging import Detections


class TorchDetector:
    """Detector in PyTorch, a :class:`oil_storage.inference.tile_detector.TileDetector`.

    Args:
        cfg: config of the detector; changed in place.
        checkpoint: checkpoint of ``tools/train.py``, or weights in safetensors format.
        device: ``cpu`` or ``cuda``; None uses CUDA if it is available.
        tta: detect in several views of each tile, see :func:`oil_storage.engine.tta.use_tta`.
        fast: fold batch norms into convolutions.

    Raises:
        UserError: the checkpoint is missing, is damaged or belongs to another model.
    """

    about: Description
    workers = 1

    def __init__(
        self, cfg: Config, checkpoint: Path, device: str | None = None, *, tta: bool = False, fast: bool = True
    ) -> None:
        use_scope(cfg)
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        loaded = Checkpoint.read(checkpoint)
        self.about = describe(cfg, loaded, tta)
        self.rules = self.about.test_cfg
        self.batch_size = self.about.batch_size
        if chosen.type == "cpu":
            keep_freed_memory()
            self.batch_size = min(max(torch.get_num_threads() // 2, 1), self.batch_size)
        self._merging: Rules | None = None
        if tta:
            use_tta(cfg)
            self._merging, cfg.model = rules_of(cfg.model.tta_cfg), cfg.model.module
        model = build_model(cfg, loaded).to(chosen)
        if fast:
            fuse_batch_norms(model)
        to_channels_last(model)
        compute_as_configured(model, cfg)
        self._preprocess: Any = model.data_preprocessor
        self._network = RawDetector(model)
        self._pipeline = for_arrays(cfg.test_dataloader.dataset.pipeline)

    def prepare(self, pixels: NDArray[np.uint8]) -> Prepared:
        """Apply the test pipeline to a tile, RGB ``(H, W, 3)``."""
        height, width = pixels.shape[:2]
        return Prepared((width, height), self._pipeline({"img": pixels[..., ::-1]}))

    def detect(self, tiles: Sequence[Prepared]) -> list[Detections]:
        """Detect in a batch of tiles; return boxes in pixels of each tile, in order of decreasing score."""
        data = pseudo_collate([tile.content for tile in tiles])
        if self._merging is None:
            return self._detect(data)
        # each value has an item per view, which has an item per tile
        views = [dict(zip(data, view, strict=True)) for view in zip(*data.values(), strict=True)]
        merged = []
        for tile in zip(*map(self._detect, views), strict=True):
            boxes, scores = (np.concatenate(parts) for parts in zip(*tile, strict=True))
            merged.append(select(Detections(boxes, scores), self._merging))
        return merged

    @torch.no_grad()
    def _detect(self, data: Mapping[str, Any]) -> list[Detections]:
        data = self._preprocess(data, False)
        samples = data["data_samples"]
        boxes, scores = (values.cpu().numpy() for values in self._network.predict(data["inputs"], samples))
        detections = []
        for candidates, sample in zip(map(Detections, boxes, scores), samples, strict=True):
            selected = select(candidates, self.rules, self._network.levels, scale=sample.scale_factor)
            detections.append(Detections(_turned_back(selected.boxes, sample.metainfo), selected.scores))
        return detections


def _turned_back(boxes: NDArray[np.float32], view: Mapping[str, Any]) -> NDArray[np.float32]:
    """Convert boxes in a flipped view of a tile to boxes in the tile."""
    if not view.get("flip"):
        return boxes
    height, width = view["ori_shape"]
    x1, y1, x2, y2 = boxes.T
    if view["flip_direction"] in ("horizontal", "diagonal"):
        x1, x2 = width - x2, width - x1
    if view["flip_direction"] in ("vertical", "diagonal"):
        y1, y2 = height - y2, height - y1
    return np.stack([x1, y1, x2, y2], axis=1)


def describe(cfg: Config, checkpoint: Checkpoint, tta: bool = False) -> Description:
    """Describe a detector; with ``tta``, with the thresholds for test-time augmentation.

    Raises:
        UserError: see :func:`rules_of`.
    """
    loader, trained = cfg.test_dataloader, checkpoint.meta.trained
    return Description(
        config=trained.config if trained else None,
        tile=int(loader.dataset.tile),
        batch_size=int(loader.batch_size),
        test_cfg=rules_of(cfg.model.get("test_cfg") or {}),
        score_threshold=checkpoint.threshold(tta),
        false_alarms=checkpoint.false_alarm_thresholds(tta),
        reading=checkpoint.reading,
        gsd=trained.gsd if trained else None,
        f1_by_gsd=checkpoint.meta.f1_by_gsd,
    )


def rules_of(test_cfg: Mapping[str, Any]) -> Rules:
    """Return the post-processing parameters in mmdet's ``test_cfg``.

    Raises:
        UserError: detection in scenes does not support them, for example soft NMS.
    """
    try:
        return TypeAdapter(Rules).validate_python(dict(test_cfg.get("rcnn", test_cfg)))
    except ValidationError as error:
        raise UserError(f"model.test_cfg: {first_problem(error)}; use NMS of the type nms") from error


def for_arrays(pipeline: Sequence[dict[str, Any]]) -> Compose:
    """Build a test pipeline whose input is a BGR array instead of an image file."""
    return Compose([TRANSFORMS.build(step) for step in ({"type": "LoadImageFromNDArray"}, *pipeline[1:])])


def fuse_batch_norms(model: nn.Module) -> int:
    """Fold batch norms into the convolutions before them, in place; return the number of batch norms.

    A norm is folded into the convolution that its parent module lists immediately before it. If several norms share a
    convolution, as in RTMDet's head, the convolution is copied for each norm. :func:`mmcv.cnn.fuse_conv_bn` does not
    copy it.

    Args:
        model: model in evaluation mode.
    """
    number = 0
    for module in model.modules():
        children = [(name, child) for name, child in module._modules.items() if child is not None]
        for (first, convolution), (second, norm) in pairwise(children):
            if (
                isinstance(norm, nn.BatchNorm2d)
                and isinstance(convolution, nn.Conv2d)
                and convolution.out_channels == norm.num_features
            ):
                module._modules[first] = fuse_conv_bn_eval(convolution, norm)
                module._modules[second] = nn.Identity()
                number += 1
    return number
