"""Anchor coverage: which boxes a config's anchors or points can match, known before anything is trained."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from oil_storage.errors import UserError
from oil_storage.scene import Scene
from oil_storage.tiling import cut_boxes, tile_grid

if TYPE_CHECKING:
    from mmengine.config import Config

MATCH_IOU = 0.5
"""An anchor that overlaps a box by as much or more can be assigned to it."""
SIDES = (0.0, 8.0, 16.0, 32.0, 64.0, float("inf"))
"""Borders of the size bins: the root of a box's area, pixels of the scene; a bin holds its lower border."""
BINS = ("< 8 px", "8-16 px", "16-32 px", "32-64 px", ">= 64 px")
"""Names of the size bins."""
SCALING = ("Resize", "FixScaleResize", "FixShapeResize", "ResizeShortestEdge")
"""Steps of a test pipeline that change the size of a tile."""


class Priors(StrEnum):
    """What a detector's head starts from, and what coverage means for it."""

    ANCHORS = f"anchors: share of the boxes that an anchor overlaps by IoU {MATCH_IOU} or more"
    POINTS = "points: share of the boxes that hold a point of some level"
    QUERIES = "queries: no anchors"
    NONE = "neither anchors nor points"


@dataclass(frozen=True)
class Coverage:
    """How many boxes of each size a config's priors can match.

    Attributes:
        priors: what was measured.
        boxes: number of boxes in each size bin of :data:`SIDES`, the smallest first; empty without priors to measure.
        covered: number of them that the priors can match.
    """

    priors: Priors
    boxes: tuple[int, ...] = ()
    covered: tuple[int, ...] = ()

    def __str__(self) -> str:
        rows = [*zip(BINS, self.boxes, self.covered, strict=False)]
        if rows:
            rows.append(("all", sum(self.boxes), sum(self.covered)))
        shares = [f"{covered / boxes:7.1%}" if boxes else f"{'-':>7}" for _, boxes, covered in rows]
        lines = [f"{name:<8}{boxes:>8} boxes{share}" for (name, boxes, _), share in zip(rows, shares, strict=True)]
        return "\n".join([str(self.priors), *lines])


@dataclass(frozen=True)
class Level:
    """The priors of one feature map.

    Attributes:
        cell: those of its first cell: anchors ``(A, 4)`` xyxy or points ``(A, 2)`` xy, pixels of the resized tile.
        stride: ``(2,)``, from a cell to the next, along x and y.
    """

    cell: Tensor
    stride: Tensor


def anchor_coverage(cfg: "Config", scenes: Iterable[Scene]) -> Coverage:
    """Measure how many boxes the priors of a config's head can match.

    Scenes are cut, and tiles resized, as for the config's test loader. A box is covered if in some tile that shows it,
    cut as the tile cuts it, a prior matches it where priors truly lie: an anchor of a tank's very size may miss it by
    half a stride. Of the 10,338 boxes in 78 scenes of the Airbus data, the usual anchors of 32 px and up reach 30 % at
    1280 -> 1024 px and 41 % at native scale; anchors of 8 px and up, from stride 4, reach 97 %.

    Points match a box that holds one of them, whatever its level. Anchors that reach over the border count, as
    ``allowed_border=-1`` has it. Two-stage detectors are judged by their RPN.

    Raises:
        UserError: the config's data set does not say how scenes are cut.
    """
    dataset = cfg.test_dataloader.dataset
    if not {"tile", "overlap"} <= dataset.keys():
        raise UserError(
            f"{cfg.filename}: test_dataloader.dataset has no tile and overlap; give a config of configs/oil/"
        )
    priors, levels = read_priors(cfg.model)
    if not levels:
        return Coverage(priors)
    transforms = [TRANSFORMS.build(step) for step in dataset.pipeline if step["type"] in SCALING]
    resized = cache(partial(_resized, transforms))
    sides, hits = [], []
    for scene in scenes:
        hit = np.zeros(len(scene.boxes), bool)
        for window in tile_grid(scene.width, scene.height, dataset.tile, dataset.overlap):
            scale, size = resized(*(window[2:] - window[:2]).tolist())
            boxes, shown = cut_boxes(scene.boxes, window)
            hit[shown] |= is_covered(levels, torch.from_numpy(boxes) * scale.tile(2), size).numpy()
        sides.append(np.sqrt((scene.boxes[:, 2:] - scene.boxes[:, :2]).prod(axis=1)))
        hits.append(hit)
    side, hit = np.concatenate([np.zeros(0), *sides]), np.concatenate([np.zeros(0, bool), *hits])
    boxes_per_bin, covered_per_bin = np.histogram(side, SIDES)[0], np.histogram(side[hit], SIDES)[0]
    return Coverage(priors, tuple(boxes_per_bin.tolist()), tuple(covered_per_bin.tolist()))


def read_priors(model: Any) -> tuple[Priors, list[Level]]:
    """Build the head of a detector's config that proposes boxes, so that its defaults count, and read its priors.

    Returns:
        tuple: their kind, and the levels, finest first; none for heads of another kind.
    """
    head = model.get("rpn_head") or model.get("bbox_head") or {}
    if "num_queries" in model or "num_proposals" in head:
        return Priors.QUERIES, []
    generator = getattr(MODELS.build(head), "prior_generator", None) if head else None
    if generator is None:
        return Priors.NONE, []
    cells = generator.grid_priors([(1, 1)] * generator.num_levels, device="cpu")
    kind = Priors.ANCHORS if cells[0].shape[1] == 4 else Priors.POINTS
    strides = torch.tensor(generator.strides, dtype=torch.float32)
    return kind, [Level(cell, stride) for cell, stride in zip(cells, strides, strict=True)]


def is_covered(levels: Iterable[Level], boxes: Tensor, size: Tensor) -> Tensor:
    """Return whether some prior matches each box, ``(N,)`` bool.

    Boxes ``(N, 4)`` are xyxy, pixels of the resized tile; ``size`` ``(2,)`` is width and height of that tile.
    """
    covered = torch.zeros(len(boxes), dtype=torch.bool)
    for level in levels:
        is_anchors = level.cell.shape[1] == 4
        covered |= best_iou(level, boxes, size) >= MATCH_IOU if is_anchors else holds_a_point(level, boxes, size)
    return covered


def best_iou(level: Level, boxes: Tensor, size: Tensor) -> Tensor:
    """Return the IoU of each box with the level's best anchor, ``(N,)``; arguments as for :func:`is_covered`.

    Among anchors of one shape the nearest is the best, along x and along y: overlap only shrinks with the distance.
    """
    centres = (level.cell[:, :2] + level.cell[:, 2:]) / 2
    targets = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    nearest = _cells(((targets - centres) / level.stride).round(), level, size)
    anchors = level.cell + (nearest * level.stride).tile(2)
    ious: Tensor = bbox_overlaps(anchors, boxes[:, None].expand_as(anchors), is_aligned=True)
    return ious.amax(dim=1)


def holds_a_point(level: Level, boxes: Tensor, size: Tensor) -> Tensor:
    """Return whether each box has a point of the level inside, ``(N,)``; arguments as for :func:`is_covered`."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    first = _cells(((low - level.cell) / level.stride).floor() + 1, level, size)
    points = level.cell + first * level.stride
    return ((points > low) & (points < high)).all(dim=2).any(dim=1)


def _cells(indices: Tensor, level: Level, size: Tensor) -> Tensor:
    """Move indices ``(..., 2)`` of cells into the feature map of a tile of ``size``."""
    return indices.clamp(min=torch.zeros(2), max=(size / level.stride).ceil() - 1)


def _resized(transforms: Iterable[Any], width: int, height: int) -> tuple[Tensor, Tensor]:
    """Return the factors by which a tile's boxes are scaled, and its size thereafter, both ``(2,)``, x and y.

    Padding would add nothing: an anchor that is centred outside the image shares no more than half of itself with it.
    """
    results: dict[str, Any] = {"img": np.zeros((height, width, 3), np.uint8), "scale_factor": (1.0, 1.0)}
    for transform in transforms:
        results = transform(results)
    size = torch.tensor(results["img"].shape[1::-1], dtype=torch.float32)
    return torch.tensor(results["scale_factor"], dtype=torch.float32), size
