"""Brings scenes of any ground resolution to one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oil_storage.errors import UserError
from oil_storage.georeference import Georeference
from oil_storage.scene import Scene

SAME = 0.01
"""Resolutions that differ by less, relatively, are one: map projections stretch the ground by as much."""
FACTORS = (1 / 32, 8)
"""Between these, a scene may be made larger: beyond, metres and something else were mixed up."""
SEMI_MAJOR, ECCENTRICITY_SQUARED = 6_378_137.0, 0.00669437999014
"""The ellipsoid of WGS 84, metres."""

Resolution = tuple[float, float]
"""Metres of ground per pixel, along a row and along a column."""


def ground_resolution(scene: Scene) -> Resolution | None:
    """:func:`resolution_of` a scene."""
    return resolution_of(scene.georeference, scene.width, scene.height)


def resolution_of(place: Georeference | None, width: int, height: int) -> Resolution | None:
    """Measure how much ground a pixel shows at the centre of a scene, in any coordinate system.

    Degrees are metres at that latitude, and the metres of a projection that stretches (Web Mercator does, twofold at
    60 degrees) are those of the ground.

    Returns:
        Resolution | None: None where the scene does not say where on earth it lies.
    """
    if place is None or place.crs is None:
        return None
    from rasterio.warp import transform

    x, y = width / 2, height / 2
    points = place.to_world(np.array([(x, y), (x + 1, y), (x, y + 1)]))
    longitudes, latitudes = np.radians(transform(place.crs, "OGC:CRS84", points[:, 0], points[:, 1]))
    east = (longitudes[1:] - longitudes[0] + np.pi) % (2 * np.pi) - np.pi  # also across the date line
    north = latitudes[1:] - latitudes[0]
    bulge = np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(latitudes[0]) ** 2)
    metres = np.hypot(
        east * np.cos(latitudes[0]) * SEMI_MAJOR / bulge,
        north * SEMI_MAJOR * (1 - ECCENTRICITY_SQUARED) / bulge**3,
    )
    return (float(metres[0]), float(metres[1])) if np.isfinite(metres).all() else None


def mean_ground_resolution(scene: Scene) -> float | None:
    """Metres per pixel, the mean of both directions, to four digits; None where the scene does not say."""
    sides = ground_resolution(scene)
    return round(sum(sides) / 2, 4) if sides else None


def resample(scenes: Sequence[Scene], target: float, stated: float | None) -> tuple[list[Scene], dict[str, Resolution]]:
    """Scenes as they are at another ground resolution: size, boxes and georeference; pixels follow in :func:`resized`.

    A scene that is within :data:`SAME` of the target stays as it is.

    Args:
        scenes: as their files are.
        target: metres per pixel.
        stated: metres per pixel of the scenes that are not georeferenced; None where nobody states it.

    Returns:
        tuple: the scenes in their order, and the resolution that each had, by its id.

    Raises:
        UserError: the resolution of a scene is unknown, or so far from the target that it cannot be meant.
    """
    known = {scene.scene_id: ground_resolution(scene) or (stated and (stated, stated)) for scene in scenes}
    if unknown := [scene for scene in scenes if not known[scene.scene_id]]:
        raise UserError(
            f"{unknown[0].image}: does not say its ground resolution, nor do {len(unknown) - 1} others;\n"
            "--gsd needs it: state theirs with --source-gsd METRES"
        )
    before = {scene_id: resolution for scene_id, resolution in known.items() if resolution}
    return [_at(scene, before[scene.scene_id], target) for scene in scenes], before


def _at(scene: Scene, resolution: Resolution, target: float) -> Scene:
    factors = np.array(resolution) / target
    if (np.abs(factors - 1) <= SAME).all():
        return scene
    width, height = (
        max(1, round(side * factor)) for side, factor in zip((scene.width, scene.height), factors, strict=True)
    )
    if not all(FACTORS[0] <= factor <= FACTORS[1] for factor in factors):
        raise UserError(
            f"{scene.image}: {resolution[0]:g} m per pixel would become {width} x {height} px at --gsd {target:g}; "
            f"factors from 1/{1 / FACTORS[0]:g} to {FACTORS[1]:g} can be had"
        )
    x, y = width / scene.width, height / scene.height
    boxes = np.minimum(scene.boxes * (x, y, x, y), (width, height, width, height)).astype(np.float32)
    place = scene.georeference
    if place:
        a, b, c, d, e, f = place.transform
        place = Georeference(place.crs, (a / x, b / y, c, d / x, e / y, f))
    return replace(scene, width=width, height=height, boxes=boxes, georeference=place)


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Pixels ``(H, W, 3)`` at another size; where it shrinks, each new pixel sees all that it covers (no aliasing)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
