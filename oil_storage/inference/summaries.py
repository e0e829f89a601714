"""Summaries of scenes and of a run, as detection writes them into its output folder."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel

from oil_storage.inference.map_files import NOTE
from oil_storage.inference.scene_detections import SceneDetections

BIN = 10.0
"""Width of a bin of diameters, metres or pixels."""


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
        corners = detections.boxes[members].astype(np.float64)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
        outline = np.array(MultiPoint(corners).convex_hull.exterior.coords)
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
