"""Cut scenes into tile sets: one folder for each combination of tile side and overlap."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.coco import CocoFile, CocoImage
from oil_storage.errors import UserError
from oil_storage.files import atomic_folder, sha256, write_text
from oil_storage.imagery import read_pixels
from oil_storage.manifest import SPLITS, Split, TileCounts, TileSet
from oil_storage.parallel import in_processes
from oil_storage.preparation.resampling import resized
from oil_storage.scene import Scene
from oil_storage.tiling import MIN_VISIBLE, cut_boxes, tile_grid

KEEP_EMPTY = 0.15
"""Fraction of the tiles without boxes that is kept in the train split. The other splits keep all tiles."""

ENCODINGS = {
    ".jpg": [
        *(cv2.IMWRITE_JPEG_QUALITY, 95),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ],
    # this filter and strategy compress as well as trying every filter, in half the time
    ".png": [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1),
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    ],
}
"""Arguments of :func:`cv2.imencode`. Train tiles are JPEG; val and test tiles are lossless PNG."""

SUMS = "SHA256SUMS"
"""Checksum file of a tile set, in the format of ``sha256sum --check``."""
SMALLEST = 32
"""Minimum tile side in pixels. A smaller tile shows little more than one tank."""
MOST_OVERLAP = 0.75
"""Maximum overlap of adjacent tiles, as a fraction of the tile side. Each pixel is then in 16 tiles."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Tile of a scene.

    Attributes:
        scene: scene that contains the tile.
        window: ``(4,)`` int64 xyxy, pixels of the scene.
        boxes: ``(K, 4)`` float32 xyxy, pixels of the tile.
        name: file name.
    """

    scene: Scene
    window: NDArray[np.int64]
    boxes: NDArray[np.float32]
    name: str


def check_geometry(tile: int, overlap: int) -> None:
    """Raise UserError if the tile side is too small or the overlap is too large."""
    if tile < SMALLEST:
        raise UserError(f"--tile {tile}: must be at least {SMALLEST} pixels")
    if not 0 <= overlap <= MOST_OVERLAP * tile:
        most = int(MOST_OVERLAP * tile)
        raise UserError(f"--overlap {overlap}: must be 0 to {most} ({MOST_OVERLAP:.0%} of --tile {tile})")


def first_damaged(folder: Path, digest: str | None) -> str | None:
    """Return the first missing or changed file of a tile set; None if all files are intact.

    ``digest`` is the SHA-256 of the file :data:`SUMS`, as stored in the manifest.
    """
    sums = folder / SUMS
    if not sums.is_file() or sha256(sums) != digest:
        return SUMS
    for line in sums.read_text(encoding="utf-8").rstrip("\n").split("\n"):  # names may contain other line separators
        expected, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            return name
    return None


def write_tile_set(scenes: Sequence[Scene], split: Split, folder: Path, tile: int, overlap: int, seed: int) -> TileSet:
    """Cut all scenes into tiles. ``folder`` does not exist until all tiles are written.

    Returns:
        TileSet: entry of the manifest.

    Raises:
        UserError: half of the boxes are larger than a tile, no train tile has a box, or a scene cannot be decoded.
    """
    sides = np.concatenate([(scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1) for scene in scenes])
    if len(sides) and (median := float(np.median(sides))) > tile:
        raise UserError(
            f"--tile {tile}: half of the boxes are larger than a tile ({median:.0f} px or more); use larger tiles"
        )
    shutil.rmtree(folder, ignore_errors=True)
    by_id = {scene.scene_id: scene for scene in scenes}
    jobs: list[tuple[list[Tile], Path]] = []
    digests: dict[str, str] = {}
    counts: dict[str, TileCounts] = {}
    with atomic_folder(folder) as partial:
        for name in SPLITS:
            (partial / name).mkdir()
            suffix = ".jpg" if name == "train" else ".png"
            tiles = [
                Tile(
                    scene,
                    window,
                    cut_boxes(scene.boxes, window)[0],
                    f"{scene.scene_id}_{window[0]}_{window[1]}{suffix}",
                )
                for scene in map(by_id.__getitem__, split[name])
                for window in tile_grid(scene.width, scene.height, tile, overlap)
            ]
            if name == "train":
                tiles = _thin_empty(tiles, seed)
            images = []
            for number, item in enumerate(tiles, start=1):
                x1, y1, x2, y2 = item.window.tolist()
                images.append(CocoImage(number, item.name, x2 - x1, y2 - y1, item.scene.scene_id, x=x1, y=y1))
            CocoFile.of_boxes(images, [item.boxes for item in tiles]).save(partial / f"{name}.json")
            digests[f"{name}.json"] = sha256(partial / f"{name}.json")
            boxes = [len(item.boxes) for item in tiles]
            counts[name] = TileCounts(tiles=len(boxes), boxes=sum(boxes), densest=max(boxes, default=0))
            jobs += [(list(group), partial / name) for _, group in groupby(tiles, lambda item: item.scene.scene_id)]
        if not counts["train"].boxes:
            raise UserError(
                f"--tile {tile}: no train tile has a box; the train scenes are {', '.join(split['train'])};\n"
                "choose other train scenes with --seed or --split-file"
            )
        for digests_of_scene in in_processes(_cut_scene, jobs, f"cutting {tile}_{overlap}", "scene"):
            digests |= digests_of_scene
        write_text(partial / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))
        return TileSet(
            tile=tile,
            overlap=overlap,
            min_visible=MIN_VISIBLE,
            keep_empty=KEEP_EMPTY,
            sha256=sha256(partial / SUMS),
            **counts,
        )


def _thin_empty(tiles: list[Tile], seed: int) -> list[Tile]:
    """Remove tiles without boxes at random until the fraction :data:`KEEP_EMPTY` of them is left."""
    empty = [index for index, tile in enumerate(tiles) if not len(tile.boxes)]
    selected = set(np.random.default_rng(seed).choice(empty, round(KEEP_EMPTY * len(empty)), replace=False).tolist())
    return [tile for index, tile in enumerate(tiles) if len(tile.boxes) or index in selected]


def _cut_scene(job: tuple[list[Tile], Path]) -> dict[str, str]:
    """Write the tiles of one scene; return their SHA-256 by path in the tile set."""
    tiles, folder = job
    scene = tiles[0].scene
    pixels = resized(read_pixels(scene.image, scene.reading), scene.width, scene.height)
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    digests = {}
    for tile in tiles:
        x1, y1, x2, y2 = tile.window
        path = folder / tile.name
        encoded = cv2.imencode(path.suffix, image[y1:y2, x1:x2], ENCODINGS[path.suffix])[1].tobytes()
        path.write_bytes(encoded)
        digests[f"{folder.name}/{tile.name}"] = hashlib.sha256(encoded).hexdigest()
    return digests
