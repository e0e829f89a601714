"""Lower the scores of isolated detections.

Oil tanks stand in groups. A detection without other detections nearby is more often a false positive than its score
says. On the val scenes, this removes 9 of 21 false positives far from labels, and F1 rises from 0.909 to 0.912
(docs/experiments.md).
"""

import numpy as np
from scipy.spatial import KDTree

from oil_storage.merging import Detections

NEAR = 150.0
"""Distance in metres up to which other detections count."""
FROM, ENOUGH = 0.3, 0.2
"""The score above ``FROM`` of each detection nearby counts. A detection is not isolated if their sum is ``ENOUGH``."""
PENALTY = 1.0
"""Penalty of an entirely isolated detection, subtracted from the logit of its score."""


def lower_isolated(found: Detections, size: tuple[float, float], gsd: float | None) -> Detections:
    """Lower the scores of isolated detections; a score of 0.62 becomes 0.38.

    Ground outside the image may have tanks. So the penalty is multiplied by the part of the ground nearby that is
    inside the image.

    Args:
        found: detections in a whole scene; detections with scores below :data:`FROM` have no influence on others.
        size: width and height of the scene, in the unit of the boxes.
        gsd: metres per unit of the boxes; None if it is not known, which changes no score.

    Returns:
        Detections: all detections, in order of decreasing score.
    """
    boxes, scores = found
    if gsd is None or not len(scores):
        return found
    radius = NEAR / gsd
    centres = np.nan_to_num((boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2)
    is_near = scores > FROM
    support = np.zeros(len(scores))
    if is_near.any():
        pairs = KDTree(centres).sparse_distance_matrix(KDTree(centres[is_near]), radius, output_type="ndarray")
        np.add.at(support, pairs["i"], scores[is_near][pairs["j"]] - FROM)
        support[is_near] -= scores[is_near] - FROM  # its own score
    inside = np.minimum(centres + radius, size) - np.maximum(centres - radius, 0)
    visible = (inside.clip(0) / (2 * radius)).prod(axis=1)
    penalty = PENALTY * visible * (1 - support / ENOUGH).clip(0, 1)
    lowered = (scores / (scores + (1 - scores) * np.exp(penalty))).astype(np.float32)
    order = np.argsort(-lowered, kind="stable")
    return Detections(boxes[order], lowered[order])
