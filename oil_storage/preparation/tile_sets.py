"""Cuts scenes into one folder of tiles per tile geometry."""

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
"""Share of the tiles without a box that stays in train; val and test keep all of theirs."""

ENCODINGS = {
    ".jpg": [
        *(cv2.IMWRITE_JPEG_QUALITY, 95),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ],
    # the difference to the row above, in runs: as small as trying every filter, in half the time
    ".png": [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1),
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    ],
}
"""Arguments of :func:`cv2.imencode`; tiles of train are JPEG, those of val and test are PNG, without loss."""

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
        scene: that it shows a part of.
        window: ``(4,)`` int64 xyxy, pixels of the scene.
        boxes: ``(K, 4)`` float32 xyxy, pixels of the tile.
        name: of the file.
    """

    scene: Scene
    window: NDArray[np.int64]
    boxes: NDArray[np.float32]
    name: str

    def coco(self, number: int) -> CocoImage:
        """Return the entry in the tile set's COCO file."""
        x1, y1, x2, y2 = self.window.tolist()
        return CocoImage(number, self.name, x2 - x1, y2 - y1, self.scene.scene_id, x=x1, y=y1)


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
    jobs: list[tuple[list[Tile], Path]] = []
    digests: dict[str, str] = {}
    counts: dict[str, TileCounts] = {}
    with atomic_folder(folder) as partial:
        for name in SPLITS:
            (partial / name).mkdir()
            suffix = ".jpg" if name == "train" else ".png"
            tiles = [cut for scene_id in split[name] for cut in _tiles(by_id[scene_id], tile, overlap, suffix)]
            if name == "train":
                tiles = _thin_empty(tiles, seed)
            images = [cut.coco(number) for number, cut in enumerate(tiles, start=1)]
            CocoFile.of_boxes(images, [cut.boxes for cut in tiles]).save(partial / f"{name}.json")
            digests[f"{name}.json"] = sha256(partial / f"{name}.json")
            boxes = [len(cut.boxes) for cut in tiles]
            counts[name] = TileCounts(tiles=len(boxes), boxes=sum(boxes), densest=max(boxes, default=0))
            by_scene = groupby(tiles, key=lambda cut: cut.scene.scene_id)
            jobs += [(list(of_scene), partial / name) for _, of_scene in by_scene]
        if not counts["train"].boxes:
            scene_ids = ", ".join(split["train"])
            raise UserError(f"--tile {tile}: no train tile has a box; nothing to train on in {scene_ids}")
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


def _tiles(scene: Scene, tile: int, overlap: int, suffix: str) -> list[Tile]:
    """List the tiles of a scene, row by row."""
    return [
        Tile(scene, window, cut_boxes(scene.boxes, window)[0], f"{scene.scene_id}_{window[0]}_{window[1]}{suffix}")
        for window in tile_grid(scene.width, scene.height, tile, overlap)
    ]


def _thin_empty(tiles: list[Tile], seed: int) -> list[Tile]:
    """Keep ``KEEP_EMPTY`` of the tiles without boxes, drawn over all scenes."""
    empty = [index for index, cut in enumerate(tiles) if not len(cut.boxes)]
    kept = np.random.default_rng(seed).choice(empty, round(KEEP_EMPTY * len(empty)), replace=False)
    left_out = set(empty).difference(kept.tolist())
    return [cut for index, cut in enumerate(tiles) if index not in left_out]


def _cut_scene(job: tuple[list[Tile], Path]) -> dict[str, str]:
    """Write tiles of one scene; return the SHA-256 of each, by its name in the tile set."""
    tiles, folder = job
    scene = tiles[0].scene
    pixels = resized(read_pixels(scene.image, scene.reading), scene.width, scene.height)
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)  # the order that OpenCV writes
    digests = {}
    for tile in tiles:
        x1, y1, x2, y2 = tile.window
        path = folder / tile.name
        encoded = cv2.imencode(path.suffix, image[y1:y2, x1:x2], ENCODINGS[path.suffix])[1].tobytes()
        path.write_bytes(encoded)
        digests[f"{folder.name}/{tile.name}"] = hashlib.sha256(encoded).hexdigest()
    return digests
