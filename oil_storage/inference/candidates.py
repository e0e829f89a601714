"""Select the detections of a tile from the candidates that a network predicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from oil_storage.checkpoints.accuracy import Share
from oil_storage.merging import Detections
from oil_storage.nms import nms, voted

Size = tuple[float, float]
"""Width and height, or factors along x and along y."""


@dataclass(frozen=True)
class Suppression:
    """Parameters of :func:`oil_storage.nms.nms`, with the names that mmdet gives them. No other type is supported."""

    iou_threshold: Share
    type: Literal["nms"] = "nms"


@dataclass(frozen=True)
class Rules:
    """Post-processing parameters: the part of mmdet's ``test_cfg`` that detection in scenes uses.

    Attributes:
        score_thr: lowest score of a detection.
        nms_pre: maximum number of candidates on each level of the feature pyramid before NMS; -1 keeps all.
        min_bbox_size: boxes with a side of at most this many pixels are dropped; -1 keeps all.
        max_per_img: maximum number of detections in a tile; None keeps all.
        vote_iou: ``least_iou`` of :func:`oil_storage.nms.voted`; None for no box voting.
        nms: parameters of NMS; None for detectors without NMS.
    """

    score_thr: Share = 0.0
    nms_pre: int = -1
    min_bbox_size: float = -1.0
    max_per_img: PositiveInt | None = None
    vote_iou: Share | None = None
    nms: Suppression | None = None


def select(
    candidates: Detections,
    rules: Rules,
    levels: Sequence[int] = (),
    *,
    scale: Size = (1.0, 1.0),
    limits: Size | None = None,
) -> Detections:
    """Select the detections of a tile: apply score threshold, box voting and NMS in the order in which mmdet does.

    Args:
        candidates: boxes in pixels of the network's input, and scores.
        rules: parameters.
        levels: number of candidates on each level of the feature pyramid; empty if there are no levels.
        scale: pixels of the network's input per pixel of the tile, along x and along y.
        limits: width and height of the tile in the network's input, to which boxes are clipped; None does not clip.

    Returns:
        Detections: boxes in pixels of the tile, in order of decreasing score.
    """
    boxes, scores = candidates
    best = _best(scores, rules, levels)
    boxes, scores = boxes[best], scores[best]
    if limits is not None:
        boxes = np.minimum(boxes, np.array([*limits, *limits], np.float32))
    boxes = np.divide(voted(boxes, scores, rules.vote_iou), (*scale, *scale), dtype=np.float32)
    if rules.min_bbox_size >= 0:
        is_large = (boxes[:, 2:] - boxes[:, :2] > rules.min_bbox_size).all(axis=1)
        boxes, scores = boxes[is_large], scores[is_large]
    order = nms(boxes, scores, rules.nms.iou_threshold) if rules.nms else np.argsort(-scores, kind="stable")
    order = order[: rules.max_per_img]
    return Detections(boxes[order], scores[order])


def _best(scores: NDArray[np.float32], rules: Rules, levels: Sequence[int]) -> NDArray[np.intp]:
    """Return the indices of the best candidates on each level."""
    best = []
    end = 0
    for number in levels or [len(scores)]:
        start, end = end, end + number
        passing = start + np.flatnonzero(scores[start:end] > rules.score_thr)
        if 0 < rules.nms_pre < len(passing):
            passing = passing[np.argsort(-scores[passing], kind="stable")[: rules.nms_pre]]
        best.append(passing)
    return np.concatenate(best)
