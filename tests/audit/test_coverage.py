from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from torch import Tensor

from oil_storage.annotations import formats
from oil_storage.audit.coverage import Level, Priors, anchor_coverage, best_iou, holds_a_point, is_covered
from oil_storage.audit.records import audit
from oil_storage.errors import UserError
from oil_storage.scene import Scene
from oil_storage.tiling import cut_boxes, tile_grid

RETINA = {"octave_base_scale": 2, "scales_per_octave": 2, "ratios": [1.0, 2.0, 0.5], "strides": [4, 8, 16]}


def scene(boxes: Any, width: int = 2560, height: int = 2560) -> Scene:
    return Scene("scene", Path("scene.jpg"), width, height, np.array(boxes, np.float32).reshape(-1, 4))


def random_boxes(number: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return boxes of 2 to 60 px, many of them at the border."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform((-10, -10), (width + 10, height + 10), (number, 2)).clip(1.5, (width - 1.5, height - 1.5))
    halves = np.exp(rng.uniform(np.log(1), np.log(30), (number, 2)))
    corners = np.concatenate([centres - halves, centres + halves], axis=1)
    return corners.clip(0, (width, height, width, height)).astype(np.float32)


def grid(generator: Any, width: int, height: int) -> list[Tensor]:
    """Return all priors of an image, as the heads of mmdet generate them."""
    return generator.grid_priors([(-(-height // h), -(-width // w)) for w, h in generator.strides], device="cpu")


def levels_of(generator: Any) -> list[Level]:
    cells = generator.grid_priors([(1, 1)] * generator.num_levels, device="cpu")
    return [Level(cell, torch.tensor(stride)) for cell, stride in zip(cells, generator.strides, strict=True)]


def tiny_config() -> Config:
    """Return the config of a RetinaNet on tiles of 100 px that are resized to 90 x 60 px."""
    return Config(
        {
            "model": {
                "bbox_head": {
                    "type": "RetinaHead",
                    "num_classes": 1,
                    "in_channels": 4,
                    "feat_channels": 4,
                    "stacked_convs": 1,
                    "anchor_generator": {"type": "AnchorGenerator", **RETINA},
                },
            },
            "test_dataloader": {
                "dataset": {
                    "tile": 100,
                    "overlap": 20,
                    "pipeline": [
                        {"type": "LoadImageFromFile"},
                        {"type": "Resize", "scale": (90, 60), "keep_ratio": False},
                        {"type": "PackDetInputs"},
                    ],
                }
            },
        }
    )


@pytest.mark.parametrize(
    "generator",
    [
        {"type": "AnchorGenerator", **RETINA, "center_offset": 0.5},
        {"type": "AnchorGenerator", **RETINA},
        {"type": "YOLOAnchorGenerator", "base_sizes": [[(30, 60), (59, 40)], [(6, 9), (12, 8)]], "strides": [32, 8]},
        {
            "type": "SSDAnchorGenerator",
            "scale_major": False,
            "min_sizes": [8, 20, 40],
            "max_sizes": [20, 40, 60],
            "strides": [8, 16, 32],
            "ratios": [[2], [2, 3], [2]],
        },
    ],
    ids=["retina", "offset 0", "yolo", "ssd"],
)
@pytest.mark.parametrize(("width", "height"), [(128, 128), (150, 97)])
def test_best_iou_equals_the_maximum_over_all_anchors(generator: dict[str, Any], width: int, height: int) -> None:
    built = TASK_UTILS.build(generator)
    boxes, size = torch.from_numpy(random_boxes(400, width, height)), torch.tensor([width, height])
    brute = [bbox_overlaps(boxes, anchors).amax(dim=1) for anchors in grid(built, width, height)]
    levels = levels_of(built)
    for level, wanted in zip(levels, brute, strict=True):
        torch.testing.assert_close(best_iou(level, boxes, size), wanted)
    matched = torch.stack(brute).amax(dim=0) >= 0.5
    assert 20 < matched.sum() < 380, "the test needs matched and unmatched boxes"
    assert torch.equal(is_covered(levels, boxes, size), matched)


@pytest.mark.parametrize("offset", [0, 0.5])
@pytest.mark.parametrize(("width", "height"), [(128, 128), (150, 97)])
def test_holds_a_point_equals_a_search_over_all_points(offset: float, width: int, height: int) -> None:
    built = TASK_UTILS.build({"type": "MlvlPointGenerator", "strides": [8, 16], "offset": offset})
    on_the_grid = torch.tensor([[8.0, 8, 16, 16], [8, 8, 17, 17], [0, 0, 4, 4], [0, 0, 4.5, 4.5], [4, 4, 12, 12]])
    boxes = torch.cat([on_the_grid, torch.from_numpy(random_boxes(400, width, height))])
    size = torch.tensor([width, height])
    levels = levels_of(built)
    brute = []
    for level, points in zip(levels, grid(built, width, height), strict=True):
        inside = (points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])  # strict, like the assigners of mmdet
        brute.append(inside.all(dim=2).any(dim=1))
        assert torch.equal(holds_a_point(level, boxes, size), brute[-1])
    holding = torch.stack(brute).any(dim=0)
    assert 20 < holding.sum() < 380
    assert torch.equal(is_covered(levels, boxes, size), holding)


@pytest.mark.parametrize(("width", "height"), [(260, 180), (70, 250)], ids=["cut", "narrower than a tile"])
def test_coverage_uses_the_tiles_and_resizing_of_the_test_loader(width: int, height: int) -> None:
    boxes = random_boxes(300, width, height)
    generator = TASK_UTILS.build({"type": "AnchorGenerator", **RETINA})
    anchors = torch.cat(grid(generator, 128, 64))  # the network input is padded
    hit = np.zeros(len(boxes), bool)
    for window in tile_grid(width, height, 100, 20):
        side = window[2:] - window[:2]
        cut, shown = cut_boxes(boxes, window)
        scaled = torch.from_numpy(cut) * torch.tensor([90, 60] / side, dtype=torch.float32).tile(2)
        hit[shown] |= (bbox_overlaps(scaled, anchors) >= 0.5).any(dim=1).numpy()
    coverage = anchor_coverage(tiny_config(), [scene(boxes[:100], width, height), scene(boxes[100:], width, height)])
    assert coverage.priors == Priors.ANCHORS
    assert 30 < sum(coverage.covered) < 270
    assert (sum(coverage.boxes), sum(coverage.covered)) == (300, hit.sum())
    side = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    assert list(zip(coverage.boxes, coverage.covered, strict=True))[:3] == [
        (member.sum(), hit[member].sum())
        for member in (side < 8, (side >= 8) & (side < 16), (side >= 16) & (side < 32))
    ]


def test_size_bins_include_their_lower_bound_and_have_names() -> None:
    boxes = [[10, 10, 10 + side, 10 + side] for side in (7, 8, 15, 16, 31, 32, 63, 64)]
    coverage = anchor_coverage(tiny_config(), [scene(boxes)])
    assert coverage.boxes == (1, 2, 2, 2, 1)
    lines = str(coverage).splitlines()
    assert len(lines) == 7
    assert lines[-1].split() == ["all", "8", "boxes", f"{sum(coverage.covered) / 8:.1%}"]


def test_box_that_no_tile_shows_sufficiently_is_not_covered() -> None:
    cfg = tiny_config()
    cfg.test_dataloader.dataset.overlap = 0
    at_the_corner, in_a_tile = [92, 92, 108, 108], [42, 42, 58, 58]
    coverage = anchor_coverage(cfg, [scene([at_the_corner, in_a_tile], 200, 200)])
    assert (sum(coverage.boxes), sum(coverage.covered)) == (2, 1)


def test_coverage_without_boxes_or_scenes_is_empty() -> None:
    for scenes in ([], [scene([])]):
        coverage = anchor_coverage(tiny_config(), scenes)
        assert coverage.boxes == coverage.covered == (0,) * 5
        assert str(coverage).splitlines()[-1].split() == ["all", "0", "boxes", "-"]


@pytest.mark.parametrize(
    ("model", "priors"),
    [
        ({"type": "DINO", "num_queries": 900, "bbox_head": {"type": "DINOHead"}}, Priors.QUERIES),
        ({"type": "SparseRCNN", "rpn_head": {"type": "EmbeddingRPNHead", "num_proposals": 100}}, Priors.QUERIES),
        ({"bbox_head": {"type": "FCOSHead", "num_classes": 1, "in_channels": 4, "feat_channels": 32}}, Priors.POINTS),
        ({"bbox_head": {"type": "YOLOXHead", "num_classes": 1, "in_channels": 4, "feat_channels": 4}}, Priors.POINTS),
        (
            {
                "rpn_head": {
                    "type": "RPNHead",
                    "in_channels": 4,
                    "feat_channels": 4,
                    "anchor_generator": {"type": "AnchorGenerator", "scales": [8], "ratios": [1.0], "strides": [4, 8]},
                }
            },
            Priors.ANCHORS,
        ),
        (
            {
                "bbox_head": {
                    "type": "CenterNetHead",
                    "num_classes": 1,
                    "in_channels": 4,
                    "feat_channels": 4,
                    "loss_center_heatmap": {"type": "GaussianFocalLoss"},
                    "loss_wh": {"type": "L1Loss"},
                    "loss_offset": {"type": "L1Loss"},
                }
            },
            Priors.NONE,
        ),
    ],
    ids=["dino", "sparse r-cnn", "fcos", "yolox", "rpn", "centernet"],
)
def test_each_kind_of_head_has_its_priors(model: dict[str, Any], priors: Priors) -> None:
    cfg = tiny_config()
    cfg.model = model
    coverage = anchor_coverage(cfg, [scene([[10, 10, 70, 70]])])
    assert coverage.priors == priors
    assert len(coverage.boxes) == (5 if priors in (Priors.ANCHORS, Priors.POINTS) else 0)
    assert str(coverage).startswith(str(priors))


def test_config_without_tiles_is_rejected() -> None:
    cfg = tiny_config()
    del cfg.test_dataloader.dataset["tile"]
    with pytest.raises(UserError, match="has no tile and overlap"):
        anchor_coverage(cfg, [])


@pytest.mark.slow
def test_coverage_of_airbus_scenes_matches_the_documentation(airbus: Path) -> None:
    scenes, _ = audit(formats.read(airbus), {"oil-storage-tank": "oil-storage-tank"})
    cfg = Config.fromfile("configs/oil/ssd_r101.py")
    shrunk = anchor_coverage(cfg, scenes)
    cfg.test_dataloader.dataset.pipeline = [{"type": "Resize", "scale_factor": 1.0}]
    native = anchor_coverage(cfg, scenes)
    cfg.model.bbox_head.anchor_generator.update(octave_base_scale=2, strides=[4, 8, 16, 32, 64])
    small = anchor_coverage(cfg, scenes)
    assert [round(sum(coverage.covered) / sum(coverage.boxes), 2) for coverage in (shrunk, native, small)] == [
        0.30,
        0.41,
        0.97,
    ]
