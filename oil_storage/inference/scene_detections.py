"""Detections of a scene: boxes, scores, the place, size and site of each tank; and summaries of scenes and runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from oil_storage.annotations.boxes import rings
from oil_storage.annotations.geojson import WGS84, transformed
from oil_storage.annotations.images import scene_name
from oil_storage.georeference import Georeference, Resolution, resolution_of

NOTE = "coordinates are pixels of the image, x to the right and y down: where on earth it lies is not known"
BIN = 10.0
"""Width of a bin of diameters, metres or pixels."""
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


class MadeBy(BaseModel, frozen=True):
    """All that results depend on beside the scene.

    Attributes:
        asked: ``score_thr``, ``bands`` and ``stretch`` as they were asked for, None for those of the checkpoint;
            ``score_threshold``, ``bands`` and ``stretch`` are what was used, None before the checkpoint is read.
    """

    config: str
    config_sha256: str
    checkpoint_sha256: str
    score_threshold: float | None = None
    tile: int
    overlap: int
    scale: float
    tta: bool
    bands: tuple[int, ...] | None = None
    stretch: tuple[float, ...] | None = None
    html: bool
    asked: tuple[float | None, tuple[int, ...] | None, tuple[float, ...] | None]

    def request(self) -> "MadeBy":
        """Return what is known before the checkpoint is read; equal requests have equal results."""
        return self.model_copy(update={"score_threshold": None, "bands": None, "stretch": None})


class Site(BaseModel, frozen=True):
    """Tanks that stand together; the unit of the scene decides which of the areas is there."""

    site: int
    tanks: int
    roof_area_m2: float | None = None
    roof_area_px2: float | None = None
    outline: list[tuple[float, float]]

    @property
    def roof_area(self) -> float:
        """The area of all roofs."""
        return self.roof_area_m2 or self.roof_area_px2 or 0.0


class SceneSummary(BaseModel, frozen=True):
    """Number, sizes and sites of the tanks of a scene; ``diameters_m`` or ``diameters_px`` counts tanks in bins."""

    scene: str
    width: int
    height: int
    gsd: float | None
    tanks: int
    notes: dict[str, str]
    coordinates: str
    diameters_m: dict[str, int] | None = None
    diameters_px: dict[str, int] | None = None
    sites: list[Site]
    source: str

    @property
    def unit(self) -> str:
        """The unit of lengths: ``m`` or ``px``."""
        return "m" if self.diameters_m else "px"

    @property
    def diameters(self) -> dict[str, int]:
        """The number of tanks in each bin of diameters."""
        return self.diameters_m or self.diameters_px or {}


class FinishedScene(SceneSummary, frozen=True):
    """A scene whose results are written; ``file`` has size and time of change of its files, by name."""

    file: dict[str, tuple[int, int]]
    made_by: MadeBy


class RunSummary(BaseModel, frozen=True):
    """Scenes with results, and why others were left out, by their paths."""

    made_by: MadeBy
    scenes: list[SceneSummary]
    left_out: dict[str, str]

    def table(self) -> str:
        """Return a line for each scene, and their sum."""
        width = max(len(name) for name in ["scene", *(summary.scene for summary in self.scenes)])
        lines = [f"{'scene':<{width}}{'tanks':>8}{'sites':>8}  diameters"]
        for summary in self.scenes:
            bins = ", ".join(f"{name} {summary.unit}: {number}" for name, number in summary.diameters.items() if number)
            lines.append(f"{summary.scene:<{width}}{summary.tanks:>8}{len(summary.sites):>8}  {bins or '-'}")
        if len(self.scenes) > 1:
            lines.append(f"{'all':<{width}}{sum(summary.tanks for summary in self.scenes):>8}")
        return "\n".join(lines)

    def notes(self) -> list[str]:
        """Return the changes made to the stored pixels of scenes, a line for each kind."""
        scenes: dict[str, list[str]] = {}
        for summary in self.scenes:
            for note in summary.notes.values():
                scenes.setdefault(note, []).append(summary.scene)
        more = {note: f" and {len(names) - 1} more" if len(names) > 1 else "" for note, names in scenes.items()}
        return [f"{names[0]}{more[note]}: {note}" for note, names in scenes.items()]


def summarise(detections: SceneDetections, source: Path | str) -> SceneSummary:
    """Count the tanks of a scene by their diameters and sites."""
    from shapely import MultiPoint

    unit, diameters = detections.unit, detections.diameters
    sites = []
    for number in range(1, int(detections.sites.max(initial=0)) + 1):
        members = detections.sites == number
        corners = MultiPoint(rings(detections.boxes[members].astype(np.float64)))
        outline = np.array(corners.convex_hull.exterior.coords)
        area = round(float((np.pi / 4 * diameters[members] ** 2).sum()), 1)
        site = {"site": number, "tanks": int(members.sum()), "outline": detections.coordinates(outline).tolist()}
        sites.append({**site, f"roof_area_{unit}2": area})
    edges = BIN * np.arange(int(diameters.max(initial=0.0) // BIN) + 2)
    numbers = np.histogram(diameters, bins=edges)[0].tolist()
    summary = {
        "scene": detections.name,
        "width": detections.width,
        "height": detections.height,
        "gsd": detections.gsd,
        "tanks": len(detections.boxes),
        "notes": dict(detections.notes),
        "coordinates": NOTE if detections.crs is None else "WGS 84",
        f"diameters_{unit}": {f"{low:g}-{low + BIN:g}": number for low, number in zip(edges, numbers, strict=False)},
        "sites": sites,
        "source": str(source),
    }
    return SceneSummary.model_validate(summary)
