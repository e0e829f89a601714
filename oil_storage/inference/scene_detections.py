"""Detections of a scene: boxes, scores, and the place, size and site of each tank."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations.geojson import WGS84, transformed
from oil_storage.annotations.images import scene_name
from oil_storage.georeference import Georeference, Resolution, resolution_of

APART = 150.0
"""Metres between the roofs of neighbours in one site: dikes and roads between tanks are narrower."""
ASSUMED_GSD = 1.2
"""Metres per pixel where a scene does not say, SPOT's. It decides which tanks are neighbours, and no size."""


class Tank(NamedTuple):
    """One detection; ``centre`` is in the coordinates of :meth:`SceneDetections.coordinates`."""

    box: list[float]
    score: float
    diameter: float
    site: int
    centre: list[float]


@dataclass(frozen=True)
class SceneDetections:
    """The tanks of a scene, best scores first.

    ``supervision.Detections(xyxy=detections.boxes, confidence=detections.scores)`` takes them.

    Attributes:
        file_name: file name of the scene without folders; ``array`` where it was given as pixels.
        width: width of the scene, pixels.
        height: height of the scene, pixels.
        boxes: ``(N, 4)`` float32 xyxy, pixels of the scene.
        scores: ``(N,)`` float32.
        georeference: place of the scene on the ground; None where it has none.
        notes: changes made to the stored pixels, by the name of an audit's check.
    """

    file_name: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    georeference: Georeference | None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file name without suffix."""
        return scene_name(self.file_name)

    @property
    def crs(self) -> str | None:
        """The scene's coordinate system; None where its place on earth is not known."""
        return None if self.georeference is None else self.georeference.crs

    @cached_property
    def resolution(self) -> Resolution | None:
        """Metres per pixel along a row and along a column; None where they are not known."""
        return resolution_of(self.georeference, self.width, self.height)

    @property
    def gsd(self) -> float | None:
        """The mean of :attr:`resolution`."""
        return None if self.resolution is None else float(np.mean(self.resolution))

    @property
    def unit(self) -> str:
        """The unit of lengths: ``m``, or ``px`` where the resolution is not known."""
        return "px" if self.resolution is None else "m"

    @property
    def centres(self) -> NDArray[np.float64]:
        """``(N, 2)``, pixels of the scene."""
        boxes = self.boxes.astype(np.float64)
        return (boxes[:, :2] + boxes[:, 2:]) / 2

    @property
    def diameters(self) -> NDArray[np.float64]:
        """``(N,)``: the mean of a box's sides, in :attr:`unit`."""
        return self._diameters(np.array(self.resolution or (1.0, 1.0)))

    @cached_property
    def sites(self) -> NDArray[np.int64]:
        """``(N,)``: the number of each tank's site, from 1; the site with most tanks is the first.

        Tanks whose roofs are no farther apart than :data:`APART` are neighbours, and neighbours' neighbours are one
        site: DBSCAN whose core points need no other point (Ester et al., KDD 1996), so that a lone tank is a site, too.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
        from scipy.spatial import cKDTree

        if not len(self.boxes):
            return np.zeros(0, np.int64)
        scale = np.array(self.resolution or ASSUMED_GSD)
        centres, radii = self.centres * scale, self._diameters(scale) / 2
        first, second = cKDTree(centres).query_pairs(APART + 2 * radii.max(), output_type="ndarray").T
        gaps = np.linalg.norm(centres[first] - centres[second], axis=1) - radii[first] - radii[second]
        near = gaps <= APART
        graph = coo_array((np.ones(near.sum()), (first[near], second[near])), shape=(len(centres), len(centres)))
        _, labels = connected_components(graph, directed=False)
        largest_first = np.argsort(-np.bincount(labels), kind="stable")
        sites: NDArray[np.int64] = np.argsort(largest_first)[labels] + 1
        return sites

    def _diameters(self, scale: NDArray[np.float64]) -> NDArray[np.float64]:
        boxes = self.boxes.astype(np.float64)
        diameters: NDArray[np.float64] = ((boxes[:, 2:] - boxes[:, :2]) * scale).mean(axis=1)
        return diameters

    def coordinates(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return longitude and latitude of pixel positions ``(N, 2)``; the positions where :attr:`crs` is None."""
        if self.georeference is None or self.georeference.crs is None:
            return points.round(2)
        # a tenth of a millimetre
        return transformed(self.georeference.to_world(points), self.georeference.crs, WGS84).round(9)

    def tanks(self) -> Iterator[Tank]:
        """Iterate over the detections."""
        columns = (self.boxes, self.scores, self.diameters, self.sites, self.coordinates(self.centres))
        return map(Tank, *(column.tolist() for column in columns))
