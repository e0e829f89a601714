"""Resample scenes to a common ground resolution."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oil_storage.errors import UserError
from oil_storage.findings import Finding, warning
from oil_storage.georeference import Resolution
from oil_storage.scene import Scene

SAME = 0.01
"""Relative difference below which two resolutions are treated as equal. Map projections can cause this difference."""
SIMILAR = 1.3
"""Ratio up to which the resolutions of a data set are similar; those of the Airbus scenes are 1.2 to 1.5 m."""
FACTORS = (1 / 32, 8)
"""Minimum and maximum scale factor. Other factors suggest a wrong unit."""


def resample(scenes: Sequence[Scene], target: float, stated: float | None) -> tuple[list[Scene], dict[str, Resolution]]:
    """Convert the size, boxes and georeference of scenes to another ground resolution.

    The pixels are resampled later by :func:`resized`. A scene whose resolution differs from the target by less than
    :data:`SAME` is not changed.

    Args:
        scenes: scenes to convert.
        target: target resolution in metres per pixel.
        stated: resolution of scenes without georeference in metres per pixel.

    Returns:
        tuple: scenes in the same order, and their original resolutions by scene id.

    Raises:
        UserError: the resolution of a scene is unknown, or too different from the target.
    """
    default = (stated, stated) if stated else None
    before = {scene.scene_id: resolution for scene in scenes if (resolution := scene.resolution or default)}
    if unknown := [scene for scene in scenes if scene.scene_id not in before]:
        raise UserError(
            f"{unknown[0].image}: this scene and {len(unknown) - 1} others have no known ground resolution; "
            "--gsd requires it, so give --source-gsd METRES"
        )
    return [_at(scene, before[scene.scene_id], target) for scene in scenes], before


def check_resolutions(scenes: Sequence[Scene], stated: float | None) -> list[Finding]:
    """Report ground resolutions that are not similar, for scenes that are not resampled.

    Args:
        scenes: scenes of a data set.
        stated: resolution of scenes without georeference in metres per pixel.

    Raises:
        UserError: the resolution of some scenes is known, and that of others is not.
    """
    known = {scene.image: gsd for scene in scenes if (gsd := scene.gsd or stated)}
    unknown = [scene.image for scene in scenes if scene.image not in known]
    if known and unknown:
        raise UserError(
            f"{unknown[0]}: this image and {len(unknown) - 1} others have no known ground resolution, "
            f"but {len(known)} images have one; give --source-gsd METRES for the images without one"
        )
    if not known or max(known.values()) <= SIMILAR * min(known.values()):
        return []
    coarsest = max(known, key=lambda image: known[image])
    problem = f"{known[coarsest]:.3g} m per pixel, and other scenes have {min(known.values()):.3g} m"
    return [warning("resolutions", str(coarsest), problem, "kept; --gsd METRES resamples all scenes")]


def _at(scene: Scene, resolution: Resolution, target: float) -> Scene:
    factors = np.array(resolution) / target
    if (np.abs(factors - 1) <= SAME).all():
        return scene
    width, height = (max(1, round(side)) for side in (scene.width, scene.height) * factors)
    if not all(FACTORS[0] <= factor <= FACTORS[1] for factor in factors):
        raise UserError(
            f"{scene.image}: resampling from {resolution[0]:g} m per pixel with --gsd {target:g} would give an image "
            f"of {width} x {height} px;\nthe size may change by a factor of 1/{1 / FACTORS[0]:g} to {FACTORS[1]:g}, "
            "so correct --gsd or --source-gsd"
        )
    x, y = width / scene.width, height / scene.height
    boxes = np.minimum(scene.boxes * (x, y, x, y), (width, height, width, height)).astype(np.float32)
    georeference = scene.georeference
    if georeference:
        a, b, c, d, e, f = georeference.transform
        georeference = replace(georeference, transform=(a / x, b / y, c, d / x, e / y, f))
    stated = target if scene.stated_gsd else None
    return replace(scene, width=width, height=height, boxes=boxes, georeference=georeference, stated_gsd=stated)


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize pixels ``(H, W, 3)`` without aliasing."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
