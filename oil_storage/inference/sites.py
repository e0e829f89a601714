"""Tanks that stand together are a site."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oil_storage.georeference import resolution_of
from oil_storage.inference.scene_detector import SceneDetections

APART = 150.0
"""Metres between the roofs of neighbours in one site: dikes and roads between tanks are narrower."""
ASSUMED_GSD = 1.2
"""Metres per pixel where a scene does not say, SPOT's: for distances alone, never for a size that is told."""


@dataclass(frozen=True)
class Measures:
    """What is known of each tank beyond its box.

    Attributes:
        gsd: metres per pixel; None where the scene does not say.
        diameters: ``(N,)`` mean of both sides, metres, or pixels where ``gsd`` is None.
        sites: ``(N,)`` number of each one's site, from 1; the site with most tanks is the first.
    """

    gsd: float | None
    diameters: NDArray[np.float64]
    sites: NDArray[np.int64]

    @property
    def unit(self) -> str:
        """Of lengths."""
        return "px" if self.gsd is None else "m"


def measure(found: SceneDetections) -> Measures:
    """Measure a scene's tanks, and put those together that stand together.

    Tanks whose roofs are no farther apart than :data:`APART` are neighbours, and neighbours' neighbours are one site:
    DBSCAN whose core points need no other point (Ester et al., KDD 1996), so that a lone tank is a site, too.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    boxes = found.boxes.astype(np.float64)
    sides = resolution_of(found.georeference, found.width, found.height)
    metres = np.array(sides or (1.0, 1.0))
    diameters = ((boxes[:, 2:] - boxes[:, :2]) * metres).mean(axis=1)
    gsd = None if sides is None else float(np.mean(sides))
    if not len(boxes):
        return Measures(gsd, diameters, np.zeros(0, np.int64))
    scale = metres if sides else np.array(ASSUMED_GSD)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 * scale
    radii = ((boxes[:, 2:] - boxes[:, :2]) * scale).mean(axis=1) / 2
    pairs = cKDTree(centres).query_pairs(APART + 2 * radii.max(), output_type="ndarray")
    first, second = pairs.T
    gaps = np.linalg.norm(centres[first] - centres[second], axis=1) - radii[first] - radii[second]
    pairs = pairs[gaps <= APART]
    near = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(boxes), len(boxes)))
    _, labels = connected_components(near, directed=False)
    by_size = np.argsort(-np.bincount(labels), kind="stable")
    ranks = np.empty_like(by_size)
    ranks[by_size] = np.arange(1, len(by_size) + 1)
    return Measures(gsd, diameters, ranks[labels].astype(np.int64))
