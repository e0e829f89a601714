"""Summaries of scenes and of a run, as detection writes them into its output folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from oil_storage.inference.map_files import NOTE
from oil_storage.inference.scene_detections import SceneDetections

BIN = 10.0
"""Width of a bin of diameters, metres or pixels."""

Bands = tuple[int, int, int]
Stretch = tuple[float, float]


class Request(BaseModel, frozen=True):
    """What a run asks for, known without torch; results of the same request on the same file are the same.

    Attributes:
        config: name of the config.
        config_sha256: of its model and test pipeline.
        checkpoint_sha256: of the file.
        tile: side of what the detector gets, pixels.
        overlap: pixels of the scene that neighbouring tiles share.
        scale: magnification of scenes.
        tta: whether test-time augmentation is used.
        html: whether pages are written.
        score_thr: least score; None takes the checkpoint's.
        bands: see :class:`oil_storage.imagery.Reading`; None takes the checkpoint's, ``()`` those of the file.
        stretch: see there; None takes the checkpoint's, ``()`` the default.
    """

    config: str
    config_sha256: str
    checkpoint_sha256: str
    tile: int
    overlap: int
    scale: float
    tta: bool
    html: bool
    score_thr: float | None
    bands: Bands | tuple[()] | None
    stretch: Stretch | tuple[()] | None


class MadeBy(BaseModel, frozen=True):
    """What results depend on beside the scene: a :class:`Request` with the values that the checkpoint holds."""

    config: str
    config_sha256: str
    checkpoint_sha256: str
    score_threshold: float
    tile: int
    overlap: int
    scale: float
    tta: bool
    bands: Bands | None
    stretch: Stretch | None
    html: bool


class Site(BaseModel, frozen=True):
    """Tanks that stand together.

    Attributes:
        site: number of the site in its scene.
        tanks: number of tanks.
        roof_area_m2: area of all roofs; None where the scene's resolution is not known.
        roof_area_px2: the same in pixels; None where the resolution is known.
        outline: convex hull of the boxes: longitudes and latitudes, or pixels.
    """

    site: int
    tanks: int
    roof_area_m2: float | None = None
    roof_area_px2: float | None = None
    outline: list[tuple[float, float]]

    @property
    def roof_area(self) -> float:
        """The area of all roofs, in the square of the summary's unit."""
        return self.roof_area_m2 or self.roof_area_px2 or 0.0


class SceneSummary(BaseModel, frozen=True):
    """Number, sizes and sites of the tanks of a scene.

    Attributes:
        scene: name of the scene.
        width: width of the scene, pixels.
        height: height of the scene, pixels.
        gsd: metres per pixel; None where they are not known.
        tanks: number of tanks.
        notes: changes made to the stored pixels.
        coordinates: coordinate system of outlines.
        diameters_m: number of tanks in each bin of diameters; None where the resolution is not known.
        diameters_px: the same in pixels; None where the resolution is known.
        sites: sites, the one with most tanks first.
        source: path of the scene.
    """

    scene: str
    width: int
    height: int
    gsd: float | None
    tanks: int
    notes: Mapping[str, str]
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
        """The number of tanks in each bin of diameters, in :attr:`unit`."""
        return self.diameters_m or self.diameters_px or {}


class FinishedScene(SceneSummary, frozen=True):
    """A scene whose results are written.

    Attributes:
        file: size and time of change of the scene's file and of those beside it, by name.
        request: what the results were asked for with.
        made_by: what they were made by.
    """

    file: dict[str, tuple[int, int]]
    request: Request
    made_by: MadeBy


class RunSummary(BaseModel, frozen=True):
    """Summary of a run.

    Attributes:
        made_by: what all results were made by.
        scenes: scenes with results.
        left_out: why scenes have none, by their paths.
    """

    made_by: MadeBy
    scenes: list[SceneSummary]
    left_out: dict[str, str]

    def table(self) -> str:
        """Return a line for each scene, and their sum."""
        width = max(len(scene) for scene in ["scene", *(summary.scene for summary in self.scenes)])
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
        return [
            f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {note}"
            for note, names in scenes.items()
        ]


def summarise(detections: SceneDetections, source: Path | str) -> SceneSummary:
    """Count the tanks of a scene by their diameters and sites."""
    from shapely import MultiPoint

    unit, diameters = detections.unit, detections.diameters
    sites = []
    for number in range(1, int(detections.sites.max(initial=0)) + 1):
        members = detections.sites == number
        corners = detections.boxes[members].astype(np.float64)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
        outline = np.array(MultiPoint(corners).convex_hull.exterior.coords)
        sites.append(
            {
                "site": number,
                "tanks": int(members.sum()),
                f"roof_area_{unit}2": round(float((np.pi / 4 * diameters[members] ** 2).sum()), 1),
                "outline": detections.coordinates(outline).tolist(),
            }
        )
    edges = BIN * np.arange(int(diameters.max(initial=0.0) // BIN) + 2)
    numbers, _ = np.histogram(diameters, bins=edges)
    return SceneSummary.model_validate(
        {
            "scene": detections.name,
            "width": detections.width,
            "height": detections.height,
            "gsd": detections.gsd,
            "tanks": len(detections.boxes),
            "notes": dict(detections.notes),
            "coordinates": NOTE if detections.crs is None else "WGS 84",
            f"diameters_{unit}": {
                f"{low:g}-{low + BIN:g}": int(number) for low, number in zip(edges[:-1], numbers, strict=True)
            },
            "sites": sites,
            "source": str(source),
        }
    )
