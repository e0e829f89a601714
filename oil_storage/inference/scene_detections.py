"""Detections of a scene with the position, diameter and site of each tank, and summaries of scenes and runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from oil_storage.annotations.antimeridian import continuous, nearest
from oil_storage.annotations.boxes import rings
from oil_storage.annotations.images import scene_name
from oil_storage.annotations.polygons import WGS84, transformed
from oil_storage.georeference import Georeference, Resolution, resolution_of
from oil_storage.inference.magnification import Magnification, Origin

NOTE = "coordinates are pixels of the image (x right, y down), because the image has no georeference"
NO_CRS = (
    "coordinates are pixels of the image (x right, y down), because its georeference has no coordinate system; "
    "put a .prj file beside the image"
)
NOT_EXACT = (
    "WGS 84, but not exact, because the image only has a camera model (RPC) or rounded corners; "
    "orthorectify it with gdalwarp -rpc and a terrain model"
)
"""Descriptions of the coordinates of scenes whose place is not known, or not exactly."""
BIN = 10.0
"""Bin width of the histogram of diameters, in metres or pixels."""
APART = 150.0
"""Largest distance in metres between the roofs of neighbouring tanks of one site.

It exceeds the width of dikes and roads, so these do not divide a site.
"""
ASSUMED_GSD = 1.2
"""Ground resolution in metres per pixel, assumed for scenes with unknown resolution, only to find sites.

SPOT images have about this resolution.
"""


class Tank(NamedTuple):
    """Detected tank.

    Attributes:
        box: xyxy in pixels of the scene.
        score: score of the detection.
        diameter: diameter in :attr:`SceneDetections.unit`.
        site: number of the site.
        centre: centre of the box, in the coordinates of :meth:`SceneDetections.coordinates`.
    """

    box: list[float]
    score: float
    diameter: float
    site: int
    centre: list[float]


@dataclass(frozen=True)
class SceneDetections:
    """Detected tanks of a scene, highest scores first.

    Convert them for the package supervision with
    ``supervision.Detections(xyxy=detections.boxes, confidence=detections.scores)``.

    Attributes:
        file_name: file name of the scene without folders; ``array`` if the scene is an array.
        width: width of the scene in pixels.
        height: height of the scene in pixels.
        boxes: float32 ``(N, 4)`` xyxy in pixels of the scene.
        scores: float32 ``(N,)``.
        georeference: georeference of the scene; None if it has none.
        notes: messages on how the stored pixels were converted, see :class:`oil_storage.imagery.FileImage`.
        magnification: ground resolution of the scene, and how it was resampled for the detector.
        window: part of the scene that was searched, xyxy in pixels of the scene; None if all of it was searched.
    """

    file_name: str
    width: int
    height: int
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    georeference: Georeference | None
    notes: Mapping[str, str] = field(default_factory=dict)
    magnification: Magnification = field(default_factory=Magnification)
    window: tuple[int, int, int, int] | None = None

    @property
    def searched(self) -> tuple[int, int, int, int]:
        """The window, or the whole scene: xyxy in pixels of the scene."""
        return self.window or (0, 0, self.width, self.height)

    @property
    def name(self) -> str:
        """File name without its suffix."""
        return scene_name(self.file_name)

    @property
    def crs(self) -> str | None:
        """Coordinate system of the scene; None if it is not georeferenced."""
        return None if self.georeference is None else self.georeference.crs

    @property
    def place(self) -> str:
        """Description of the coordinates of :meth:`coordinates`."""
        if self.georeference is None:
            return NOTE
        if self.georeference.crs is None:
            return NO_CRS
        return "WGS 84" if self.georeference.is_exact else NOT_EXACT

    @cached_property
    def resolution(self) -> Resolution | None:
        """Ground resolution in metres per pixel, along x and along y; None if it is not known or only estimated."""
        stated = self.magnification.resolution if self.magnification.origin == "stated" else None
        x1, y1, x2, y2 = self.searched
        return resolution_of(self.georeference, x1 + x2, y1 + y2) or stated  # at the centre of the window

    @property
    def gsd(self) -> float | None:
        """Mean of :attr:`resolution`; None if that is None."""
        return None if self.resolution is None else float(np.mean(self.resolution))

    @property
    def unit(self) -> str:
        """Unit of lengths: ``m``, or ``px`` if :attr:`resolution` is None."""
        return "px" if self.resolution is None else "m"

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centres of the boxes, ``(N, 2)``, in pixels of the scene."""
        boxes = self.boxes.astype(np.float64)
        return (boxes[:, :2] + boxes[:, 2:]) / 2

    @property
    def diameters(self) -> NDArray[np.float64]:
        """Diameters ``(N,)`` in :attr:`unit`. The diameter is the mean of the width and height of a box."""
        boxes = self.boxes.astype(np.float64)
        return np.asarray(((boxes[:, 2:] - boxes[:, :2]) * (self.resolution or 1.0)).mean(axis=1))

    @cached_property
    def sites(self) -> NDArray[np.int64]:
        """Site number of each tank, ``(N,)``; site 1 has the most tanks.

        Two tanks whose roofs are at most :data:`APART` metres apart are in the same site. Sites are the connected
        components of this graph, as in DBSCAN (Ester et al., KDD 1996) with a minimum of one point. A single tank is
        also a site.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
        from scipy.spatial import cKDTree

        if not len(self.boxes):
            return np.zeros(0, np.int64)
        centres = self.centres * (self.resolution or ASSUMED_GSD)
        radii = self.diameters / 2 * (1.0 if self.resolution else ASSUMED_GSD)
        first, second = cKDTree(centres).query_pairs(APART + 2 * radii.max(), output_type="ndarray").T
        gaps = np.linalg.norm(centres[first] - centres[second], axis=1) - radii[first] - radii[second]
        near = gaps <= APART
        graph = coo_array((np.ones(near.sum()), (first[near], second[near])), shape=(len(centres), len(centres)))
        _, labels = connected_components(graph, directed=False)
        largest_first = np.argsort(-np.bincount(labels), kind="stable")
        sites: NDArray[np.int64] = np.argsort(largest_first)[labels] + 1
        return sites

    def coordinates(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert pixel positions ``(N, 2)`` to longitude, -180 to 180, and latitude.

        If :attr:`crs` is None, only round them.
        """
        if self.georeference is None or self.georeference.crs is None:
            return points.round(2)
        places = transformed(self.georeference.to_world(points), self.georeference.crs, WGS84)
        places[:, 0] = nearest(places[:, 0], 0)
        return places.round(9)  # 0.1 mm

    def tanks(self) -> Iterator[Tank]:
        """Iterate over the tanks, highest scores first."""
        columns = (self.boxes, self.scores, self.diameters, self.sites, self.coordinates(self.centres))
        return map(Tank, *(column.tolist() for column in columns))


class MadeBy(BaseModel, frozen=True):
    """Detector and options that produced the results.

    Attributes:
        config: name of the config; empty if none was given for an ONNX file.
        config_sha256: SHA-256 of the settings in the config; empty for an ONNX file, which contains them.
        score_threshold, tile, bands, stretch: values that were used; None until the checkpoint is read.
        backend, precision: runtime, and its precision if the detector was exported; None until the checkpoint is read.
        asked: requested ``score_thr``, ``tile``, ``bands`` and ``stretch``; None for a value that the config or the
            checkpoint provides.
    """

    config: str
    config_sha256: str
    checkpoint_sha256: str
    score_threshold: float | None = None
    false_alarms: int | None = None
    tile: int | None = None
    overlap: int
    gsd: float | None = None
    source_gsd: float | None = None
    scale: float | None = None
    tta: bool
    bands: tuple[int, ...] | None = None
    stretch: tuple[float, ...] | None = None
    html: bool
    asked: tuple[float | None, int | None, tuple[int, ...] | None, tuple[float, ...] | None]
    bbox: tuple[float, float, float, float] | None = None
    backend: str | None = None
    precision: str | None = None

    def request(self) -> "MadeBy":
        """Return a copy without the values that are known only after reading. Equal requests give equal results."""
        used = ("score_threshold", "tile", "bands", "stretch", "backend", "precision")
        return self.model_copy(update=dict.fromkeys(used))

    def computed(self) -> str:
        """Return the backend and the precision in words; an empty string if they are not known."""
        parts = [part for part in (self.backend, self.precision) if part is not None]
        return f"computed with {', '.join(parts)}" if parts else ""


class Site(BaseModel, frozen=True):
    """Group of neighbouring tanks.

    Attributes:
        roof_area_m2, roof_area_px2: total area of the roofs. Only the area in the unit of the scene is set.
        outline: convex hull of the tanks. Longitudes are beyond 180 if it crosses the antimeridian.
    """

    site: int
    tanks: int
    roof_area_m2: float | None = None
    roof_area_px2: float | None = None
    outline: list[tuple[float, float]]

    @property
    def roof_area(self) -> float:
        """Total area of the roofs in the unit of the scene; 0 if no area is set."""
        return self.roof_area_m2 or self.roof_area_px2 or 0.0


class SceneSummary(BaseModel, frozen=True):
    """Summary of a scene.

    Attributes:
        gsd: ground resolution in metres per pixel; None if it is not known.
        gsd_from: source of ``gsd``.
        gsd_evidence: evidence for an estimated ``gsd``; see :attr:`Magnification.evidence`.
        magnification: factors along x and along y by which the scene was magnified.
        diameters_m, diameters_px: number of tanks in each range of diameters. One of the two attributes is None.
        warning: reason why the detections may be wrong; None if there is none.
        window: part of the scene that was searched, xyxy in pixels of the scene; None if all of it was searched.
        bytes_read: bytes that were read from the server; None for a local scene.
        bytes_total: size of the file on the server in bytes; None for a local scene, or if it is not known.
    """

    scene: str
    width: int
    height: int
    window: tuple[int, int, int, int] | None = None
    gsd: float | None
    gsd_from: Origin
    gsd_evidence: float | None = None
    magnification: tuple[float, float]
    tanks: int
    notes: dict[str, str]
    warning: str | None = None
    coordinates: str
    diameters_m: dict[str, int] | None = None
    diameters_px: dict[str, int] | None = None
    sites: list[Site]
    source: str
    bytes_read: int | None = None
    bytes_total: int | None = None

    @property
    def unit(self) -> str:
        """Unit of lengths: ``m`` or ``px``."""
        return "m" if self.diameters_m else "px"

    @property
    def resampling(self) -> list[str]:
        """Message about the magnification; empty if the scene was not resampled."""
        if self.magnification == (1, 1):
            return []
        factors = " x ".join(f"{factor:.3g}" for factor in dict.fromkeys(self.magnification))
        known = f"{self.gsd:.3g} m per pixel (source: {self.gsd_from})" if self.gsd else "unknown ground resolution"
        return [f"{known}, magnified {factors} times"]

    @property
    def diameters(self) -> dict[str, int]:
        """Number of tanks in each range of diameters."""
        return self.diameters_m or self.diameters_px or {}


class FinishedScene(SceneSummary, frozen=True):
    """Summary of a scene whose output files are complete.

    Attributes:
        file: size and time of each input file; for a URL, a number that changes with the file instead of the time.
    """

    file: dict[str, tuple[int, int]]
    made_by: MadeBy


class RunSummary(BaseModel, frozen=True):
    """Summary of a run.

    Attributes:
        left_out: reason why a scene was left out, by path.
        outside: paths of the scenes that the bounding box does not meet.
    """

    made_by: MadeBy
    scenes: list[SceneSummary]
    left_out: dict[str, str]
    outside: list[str] = []

    def table(self) -> str:
        """Return a table with one line per scene and a line with the total."""
        width = max(len(name) for name in ["scene", *(summary.scene for summary in self.scenes)])
        lines = [f"{'scene':<{width}}{'tanks':>8}{'sites':>8}  diameters"]
        for summary in self.scenes:
            bins = ", ".join(f"{name} {summary.unit}: {number}" for name, number in summary.diameters.items() if number)
            lines.append(f"{summary.scene:<{width}}{summary.tanks:>8}{len(summary.sites):>8}  {bins or '-'}")
        if len(self.scenes) > 1:
            lines.append(f"{'all':<{width}}{sum(summary.tanks for summary in self.scenes):>8}")
        return "\n".join(lines)

    def traffic(self) -> str:
        """Return how many bytes of remote scenes were read; an empty string if all scenes are local."""
        remote = [scene for scene in self.scenes if scene.bytes_read is not None]
        if not remote:
            return ""
        read, total = (sum(getattr(scene, name) or 0 for scene in remote) for name in ("bytes_read", "bytes_total"))
        share = f" of {total / 1e6:,.1f} MB ({read / total:.1%})" if all(scene.bytes_total for scene in remote) else ""
        return f"remote scenes: {read / 1e6:,.1f} MB{share} were read"

    def notes(self) -> list[str]:
        """Return each message on a conversion or magnification once, with its first scene and how many more have it."""
        return self._by_message(lambda summary: [*summary.notes.values(), *summary.resampling])

    def warnings(self) -> list[str]:
        """Return each warning once, with its first scene and how many more have it."""
        return self._by_message(lambda summary: [summary.warning] if summary.warning else [])

    def _by_message(self, messages: Callable[[SceneSummary], Sequence[str]]) -> list[str]:
        scenes: dict[str, list[str]] = {}
        for summary in self.scenes:
            for message in messages(summary):
                scenes.setdefault(message, []).append(summary.scene)
        return [
            f"{first}{f' and {len(others)} more' if others else ''}: {message}"
            for message, (first, *others) in scenes.items()
        ]


def summarise(detections: SceneDetections, source: Path | str) -> SceneSummary:
    """Summarise the diameters and sites of the tanks of a scene."""
    from shapely import MultiPoint

    unit, diameters = detections.unit, detections.diameters
    notes = dict(detections.notes)
    if detections.place in (NO_CRS, NOT_EXACT):
        notes["place"] = detections.place
    sites = []
    for number in range(1, int(detections.sites.max(initial=0)) + 1):
        members = detections.sites == number
        corners = MultiPoint(rings(detections.boxes[members].astype(np.float64)))
        outline = np.array(corners.convex_hull.exterior.coords)
        area = round(float((np.pi / 4 * diameters[members] ** 2).sum()), 1)
        ring = detections.coordinates(outline)
        ring = (ring if detections.crs is None else continuous(ring)).tolist()
        sites.append(Site(site=number, tanks=int(members.sum()), outline=ring, **{f"roof_area_{unit}2": area}))
    edges = BIN * np.arange(int(diameters.max(initial=0.0) // BIN) + 2)
    numbers = np.histogram(diameters, bins=edges)[0].tolist()
    bins = {f"{low:g}-{low + BIN:g}": number for low, number in zip(edges, numbers, strict=False)}
    sizes: dict[str, Any] = {f"diameters_{unit}": bins}
    return SceneSummary(
        scene=detections.name,
        width=detections.width,
        height=detections.height,
        window=detections.window,
        gsd=detections.magnification.gsd or detections.gsd,
        gsd_from=detections.magnification.origin,
        gsd_evidence=detections.magnification.evidence,
        magnification=detections.magnification.zoom,
        tanks=len(detections.boxes),
        notes=notes,
        warning=detections.magnification.warning,
        coordinates=detections.place,
        sites=sites,
        source=str(source),
        **sizes,
    )
