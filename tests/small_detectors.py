"""Small versions of the detectors of all configs, and tiles of noise as their input."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmengine.utils import import_modules_from_strings
from torch import nn

from oil_storage.engine.overfitting import shrink

CONFIGS = sorted(Path("configs/oil").glob("*.py"))


def tile_with(objects: int, side: int) -> DetDataSample:
    generator = torch.Generator().manual_seed(objects)
    corners = torch.rand(objects, 2, generator=generator) * (side - 30)
    sides = torch.rand(objects, 2, generator=generator) * 25 + 5
    shape = (side, side)
    sample = DetDataSample(metainfo={"img_shape": shape, "ori_shape": shape, "scale_factor": (1.0, 1.0), "img_id": 0})
    labels = torch.zeros(objects, dtype=torch.long)
    sample.gt_instances = InstanceData(bboxes=torch.cat([corners, corners + sides], dim=1), labels=labels)
    return sample


def batch(objects: tuple[int, ...], side: int) -> dict[str, list[Any]]:
    pixels = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, side, side), dtype=torch.uint8, generator=pixels) for _ in objects]
    return {"inputs": images, "data_samples": [tile_with(number, side) for number in objects]}


def small_detector(path: Path) -> tuple[nn.Module, int]:
    """Return a small version of a config's detector, with weights of seed 0, and its tile size."""
    config = Config.fromfile(path)
    import_modules_from_strings(**config.custom_imports)
    init_default_scope("mmdet")
    shrink(config, queries=320)
    config.model.data_preprocessor.batch_augments = None
    if "roi_head" in config.model:
        for proposals in (config.model.train_cfg.rpn_proposal, config.model.test_cfg.rpn):
            proposals.max_per_img = 400  # saves time
        heads = config.model.roi_head.bbox_head
        for head in heads if isinstance(heads, list) else [heads]:
            head.fc_out_channels = 128
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    return model, 512 if config.model.backbone.type == "NarrowSSDVGG" else 128  # its coarsest level is 512 px wide


def with_statistics(model: nn.Module) -> nn.Module:
    """Set random statistics in the batch norms."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
            module.running_var.mul_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return model.eval()


def share_found(boxes: np.ndarray, scores: np.ndarray, other_boxes: np.ndarray, other_scores: np.ndarray) -> float:
    """Return the share of candidates that are also among the others: box within 1e-3 px, score within 1e-4.

    Coordinates above 50 px may differ by 2e-5 of their value. The order does not matter, because candidates with nearly
    equal scores may swap.
    """
    found = [
        (np.isclose(other_boxes, box, atol=1e-3, rtol=2e-5).all(axis=1) & (np.abs(score - other_scores) <= 1e-4)).any()
        for box, score in zip(boxes, scores, strict=True)
    ]
    return float(np.mean(found))
