"""Labelled scenes with unusual names, sizes, georeferences and boxes, for tests of readers and writers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import Affine

from oil_storage.image_file import read_georeference
from oil_storage.scene import Scene

NAMES = ("scene.v2.jpg", "two words.png", "Öltank 油.jpg", "a.jpg.png", "x" * 100 + ".jpeg", "-1.png")
GROUND = {
    "utm.tif": ("EPSG:32631", Affine(1.2, 0, 595_000, 0, -1.5, 5_750_000)),
    "turned.tiff": (
        "EPSG:32759",
        Affine.translation(405_000, 4_000_000) @ Affine.rotation(31) @ Affine.scale(0.5, -0.7),
    ),
    "degrees.tif": ("EPSG:4326", Affine(1e-5, 0, 4.1, 0, -1e-5, 51.9)),
    "nowhere.tif": (None, Affine(2, 0, 1000, 0, -2, 1000)),
}


def make_scenes(folder: Path, seed: int = 0) -> list[Scene]:
    """Write images of several sizes to ``folder``; return the scenes by id, one of them without boxes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    scenes = []
    for name in (*NAMES, "empty.jpg", *GROUND):
        path = folder / name
        width, height = (int(side) for side in rng.integers(20, 200, 2))
        write_image(path, width, height)
        boxes = np.empty((0, 4)) if name == "empty.jpg" else random_boxes(rng, width, height)
        scenes.append(Scene(path.stem, path, width, height, boxes.astype(np.float32), read_georeference(path)))
    return sorted(scenes, key=lambda scene: scene.scene_id)


def write_image(path: Path, width: int, height: int) -> None:
    """Write an image of one colour, georeferenced if :data:`GROUND` has its name."""
    if path.name not in GROUND:
        Image.new("RGB", (width, height), (90, 120, 80)).save(path)
        return
    crs, transform = GROUND[path.name]
    write_geotiff(path, width, height, crs, transform)


def write_geotiff(path: Path, width: int, height: int, crs: str | None, transform: Affine) -> None:
    """Write an 8-bit GeoTIFF of one colour."""
    profile = {"width": width, "height": height, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **profile) as raster:
        raster.write(np.full((3, height, width), 90, np.uint8))


def random_boxes(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return boxes ``(12, 4)`` xyxy: the whole image, the far corner, integers, thirds of pixels, and random ones."""
    corners = rng.uniform(0, 0.6, (7, 2)) * (width, height)
    boxes = np.hstack([corners, corners + rng.uniform(3, 0.4 * min(width, height) + 3, (7, 2))])
    fixed = [
        (0, 0, width, height),
        (width - 7.25, height - 6.5, width, height),
        (1, 2, 9, 11),
        (1 / 3, 2 / 3, 10 / 3, 16 / 3),
        (10, 10, 10.5, 10.75),
    ]
    return np.clip(np.vstack([fixed, boxes]), 0, (width, height, width, height))


def assert_same_scenes(scenes: Sequence[Scene], expected: Sequence[Scene], tolerance: float = 0.02) -> None:
    """Assert equal names, sizes, pixels and georeferences, and equal boxes within ``tolerance`` pixels."""
    assert [scene.scene_id for scene in scenes] == [scene.scene_id for scene in expected]
    for scene, other in zip(scenes, expected, strict=True):
        assert (scene.width, scene.height) == (other.width, other.height)
        assert scene.image.read_bytes() == other.image.read_bytes()
        assert scene.georeference == other.georeference
        np.testing.assert_allclose(scene.boxes, other.boxes, atol=tolerance, rtol=0, err_msg=scene.scene_id)
