"""Cuts scenes into one folder of tiles per tile geometry."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
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
"""Share of the tiles without a box that stays in train; val and test keep all of theirs."""

TRAIN_ENCODING = (
    ".jpg",
    [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
)
# the difference to the row above, in runs: as small as trying every filter, in half the time
EVAL_ENCODING = (
    ".png",
    [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1),
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    ],
)

SUMS = "SHA256SUMS"
"""The file of a tile set that has a line for each other one, as ``sha256sum --check`` reads them."""
SMALLEST = 32
"""Pixels: tiles with a shorter side show little more than a tank."""
MOST_OVERLAP = 0.75
"""Share of a tile that its neighbour may show, too: every pixel is then cut 16 times."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile to be cut.

    Attributes:
        window: ``(4,)`` int64 xyxy, pixels of the scene.
        boxes: ``(K, 4)`` float32 xyxy, pixels of the tile.
    """

    window: NDArray[np.int64]
    boxes: NDArray[np.float32]


def check_geometry(tile: int, overlap: int) -> None:
    """Refuse tiles that show nothing, and overlaps that cut the same ground again and again.

    Raises:
        UserError: says what is asked for.
    """
    if tile < SMALLEST:
        raise UserError(f"--tile {tile}: must be at least {SMALLEST} pixels")
    if not 0 <= overlap <= MOST_OVERLAP * tile:
        most = int(MOST_OVERLAP * tile)
        raise UserError(f"--overlap {overlap}: must be 0 to {most}, {MOST_OVERLAP:.0%} of --tile {tile}")


def first_damaged(folder: Path, digest: str | None) -> str | None:
    """Return the first file of a tile set that is missing or was changed; None where all are whole.

    ``digest`` is the SHA-256 of its :data:`SUMS` in the manifest.
    """
    sums = folder / SUMS
    if not sums.is_file() or sha256(sums) != digest:
        return SUMS
    for line in sums.read_text(encoding="utf-8").rstrip("\n").split("\n"):  # a name may hold other ends of lines
        expected, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            return name
    return None


def write_tile_set(scenes: Sequence[Scene], split: Split, folder: Path, tile: int, overlap: int, seed: int) -> TileSet:
    """Cut every scene; ``folder`` appears only when all of it is written.

    Returns:
        TileSet: its entry in the manifest.

    Raises:
        UserError: half of the boxes are larger than a tile, no train tile has a box, or a scene cannot be decoded.
    """
    sides = np.concatenate([(scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1) for scene in scenes])
    if len(sides) and (median := float(np.median(sides))) > tile:
        raise UserError(
            f"--tile {tile}: half of the boxes are larger, {median:.0f} px across and more; take larger tiles"
        )
    shutil.rmtree(folder, ignore_errors=True)
    by_id = {scene.scene_id: scene for scene in scenes}
    jobs: list[tuple[Scene, list[Tile], Path, bool]] = []
    digests: dict[str, str] = {}
    counts: dict[str, TileCounts] = {}
    with atomic_folder(folder) as partial:
        for name in SPLITS:
            (partial / name).mkdir(parents=True)
            tiles = {scene_id: _tiles(by_id[scene_id], tile, overlap) for scene_id in split[name]}
            if name == "train":
                tiles = _thin_empty(tiles, seed)
            jobs += [(by_id[scene_id], cut, partial / name, name == "train") for scene_id, cut in tiles.items()]
            suffix, _ = TRAIN_ENCODING if name == "train" else EVAL_ENCODING
            _tile_coco(tiles, suffix).save(partial / f"{name}.json")
            digests[f"{name}.json"] = sha256(partial / f"{name}.json")
            boxes = [len(cut.boxes) for of_scene in tiles.values() for cut in of_scene]
            counts[name] = TileCounts(tiles=len(boxes), boxes=sum(boxes), densest=max(boxes, default=0))
        if not counts["train"].boxes:
            scene_ids = ", ".join(split["train"])
            raise UserError(f"--tile {tile}: no train tile has a box; nothing to train on in {scene_ids}")
        for of_scene in in_processes(_cut_scene, jobs, f"cutting {tile}_{overlap}", "scene"):
            digests |= of_scene
        write_text(partial / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))
        return TileSet(
            tile=tile,
            overlap=overlap,
            min_visible=MIN_VISIBLE,
            keep_empty=KEEP_EMPTY,
            train=counts["train"],
            val=counts["val"],
            test=counts["test"],
            sha256=sha256(partial / SUMS),
        )


def _tiles(scene: Scene, tile: int, overlap: int) -> list[Tile]:
    grid = tile_grid(scene.width, scene.height, tile, overlap)
    return [Tile(window, cut_boxes(scene.boxes, window)[0]) for window in grid]


def _thin_empty(tiles: dict[str, list[Tile]], seed: int) -> dict[str, list[Tile]]:
    """Keep ``KEEP_EMPTY`` of the tiles without boxes, drawn over all scenes."""
    empty = [tile for of_scene in tiles.values() for tile in of_scene if not len(tile.boxes)]
    if not empty:
        return tiles
    rng = np.random.default_rng(seed)
    kept = {empty[i] for i in rng.choice(len(empty), round(KEEP_EMPTY * len(empty)), replace=False)}
    return {
        scene_id: [tile for tile in of_scene if len(tile.boxes) or tile in kept] for scene_id, of_scene in tiles.items()
    }


def _cut_scene(job: tuple[Scene, list[Tile], Path, bool]) -> dict[str, str]:
    """Write the tiles of a scene; return the SHA-256 of each, by its name in the tile set."""
    scene, tiles, folder, is_train = job
    pixels = resized(read_pixels(scene.image, scene.reading), scene.width, scene.height)
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)  # the order that OpenCV writes
    suffix, encoding = TRAIN_ENCODING if is_train else EVAL_ENCODING
    digests = {}
    for tile in tiles:
        x1, y1, x2, y2 = tile.window
        name = _tile_name(scene.scene_id, x1, y1, suffix)
        encoded = cv2.imencode(suffix, image[y1:y2, x1:x2], encoding)[1].tobytes()
        (folder / name).write_bytes(encoded)
        digests[f"{folder.name}/{name}"] = hashlib.sha256(encoded).hexdigest()
    return digests


def _tile_name(scene_id: str, x: int, y: int, suffix: str) -> str:
    return f"{scene_id}_{x}_{y}{suffix}"


def _tile_coco(tiles: dict[str, list[Tile]], suffix: str) -> CocoFile:
    images: list[CocoImage] = []
    boxes: list[NDArray[np.float32]] = []
    for scene_id, cut in tiles.items():
        for tile in cut:
            x1, y1, x2, y2 = tile.window.tolist()
            name = _tile_name(scene_id, x1, y1, suffix)
            images.append(CocoImage(len(images) + 1, name, x2 - x1, y2 - y1, scene_id, x=x1, y=y1))
            boxes.append(tile.boxes)
    return CocoFile.of_boxes(images, boxes)
