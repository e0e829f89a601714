"""Tiles scored by the rules under which the AP of YOLOX-s on these scenes was published, to compare with it.

Source: J. Audi, deeplearning.earth, 2022-06-15: tiles of 640 px that overlap by 64 px; odd boxes are left out of the
ground truth; 100 detections a tile, as COCO has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from oil_storage.evaluation.dense_coco import score

TILES = "640_64"
"""Side and overlap of the tiles that the rules are for, pixels."""
LEAST_SIDE = 5.0
"""Pixels; boxes that are narrower or lower are left out."""
GREATEST_ASPECT = 2.5
"""Of the longer to the shorter side; longer boxes are left out."""
DETECTIONS = 100
"""A tile's best, that count."""


def published_score(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Average precision of tiles by the published rules; a detection of a box that is left out counts as wrong.

    Args:
        truth: see :func:`oil_storage.evaluation.dense_coco.score`.
        detections: see there.

    Returns:
        dict: as of that function.
    """
    kept = [one for one in truth["annotations"] if _counts(*one["bbox"][2:])]
    return score({**truth, "annotations": kept}, detections, most=DETECTIONS)


def _counts(width: float, height: float) -> bool:
    shorter, longer = sorted((width, height))
    return shorter >= LEAST_SIDE and longer <= GREATEST_ASPECT * shorter
