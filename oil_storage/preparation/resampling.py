"""Brings scenes of any ground resolution to one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oil_storage.errors import UserError
from oil_storage.georeference import Georeference, Resolution
from oil_storage.scene import Scene

SAME = 0.01
"""Resolutions that differ by less, relatively, are one: map projections stretch the ground by as much."""
FACTORS = (1 / 32, 8)
"""Between these, a scene may be made larger: beyond, metres and something else were mixed up."""


def resample(scenes: Sequence[Scene], target: float, stated: float | None) -> tuple[list[Scene], dict[str, Resolution]]:
    """Bring size, boxes and georeference of scenes to another ground resolution; pixels follow in :func:`resized`.

    A scene that is within :data:`SAME` of the target stays as it is. Resolutions are metres per pixel; scenes that are
    not georeferenced have the one that is ``stated``.

    Returns:
        tuple: the scenes in their order, and the resolution that each had, by its id.

    Raises:
        UserError: the resolution of a scene is unknown, or so far from the target that it cannot be meant.
    """
    known = {scene.scene_id: scene.resolution or (stated and (stated, stated)) for scene in scenes}
    before = {scene_id: resolution for scene_id, resolution in known.items() if resolution}
    if unknown := [scene for scene in scenes if scene.scene_id not in before]:
        raise UserError(
            f"{unknown[0].image}: does not say its ground resolution, nor do {len(unknown) - 1} others;\n"
            "--gsd needs it: state theirs with --source-gsd METRES"
        )
    return [_at(scene, before[scene.scene_id], target) for scene in scenes], before


def _at(scene: Scene, resolution: Resolution, target: float) -> Scene:
    factors = np.array(resolution) / target
    if (np.abs(factors - 1) <= SAME).all():
        return scene
    width, height = (max(1, round(side)) for side in (scene.width, scene.height) * factors)
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
