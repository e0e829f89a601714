"""Writes the prepared folder: manifest, scene-level COCO, and one folder of tiles per tile geometry."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage import __version__
from oil_storage.annotations import airbus
from oil_storage.errors import UserError
from oil_storage.files import locked, sha256, write_json
from oil_storage.findings import Finding, Severity
from oil_storage.imagery import read_pixels
from oil_storage.parallel import in_processes
from oil_storage.preparation import manifest as manifests
from oil_storage.preparation.audit import audit
from oil_storage.preparation.split import SPLITS, split_scenes
from oil_storage.scene import CLASS_NAME, Scene
from oil_storage.tiling import MIN_VISIBLE, cut_boxes, tile_grid

KEEP_EMPTY = 0.15
"""Share of the tiles without a box that stays in train; val and test keep all of theirs."""

TRAIN_ENCODING = (
    ".jpg",
    [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
)
EVAL_ENCODING = (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1])

OURS = (manifests.NAME, f".{manifests.NAME}.partial", "scenes", "tiles")
"""All that a prepared folder holds."""


@dataclass(frozen=True)
class Tile:
    """One tile to be cut.

    Attributes:
        window: ``(4,)`` int64 xyxy, pixels of the scene.
        boxes: ``(K, 4)`` float32 xyxy, pixels of the tile.
    """

    window: NDArray[np.int64]
    boxes: NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """What a call of :func:`prepare` did.

    Attributes:
        manifest: the manifest as it now stands.
        findings: what the audit repaired or dropped.
        tiles: name of the tile set, ``640_64``.
        is_new: False where this tile set was there already.
    """

    manifest: dict[str, Any]
    findings: list[Finding]
    tiles: str
    is_new: bool


def prepare(source: Path, out: Path, tile: int, overlap: int, seed: int = 0) -> Prepared:
    """Prepare ``source`` in ``out``, or add a tile set to what stands there.

    The first call splits the scenes; later calls keep that split. The manifest is written last and names only what is
    complete, so a run that was killed can be started again.

    Args:
        source: folder in the Airbus layout.
        out: the prepared folder.
        tile: tile side, pixels.
        overlap: pixels shared by neighbouring tiles.
        seed: of the split and of the choice of empty train tiles.

    Returns:
        Prepared: manifest and findings.

    Raises:
        UserError: the source is unusable, ``out`` holds something else, another data set or split seed, another process
            is preparing it, or an image cannot be decoded.
    """
    if not 0 <= overlap < tile:
        raise UserError(f"--overlap {overlap} must be at least 0 and less than --tile {tile}")
    if seed < 0:
        raise UserError(f"--seed {seed}: must be at least 0")
    scenes, findings = audit(airbus.read(source), {CLASS_NAME: CLASS_NAME})
    if errors := [finding for finding in findings if finding.severity == Severity.ERROR]:
        raise UserError(f"{errors[0]}\n{len(errors)} errors in all; python tools/audit_dataset.py {source} lists them")
    identity = {"annotations_sha256": sha256(source / "annotations.csv"), "seed": seed}
    _check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        manifest = _load_or_begin(source, out, scenes, identity)
        name = f"{tile}_{overlap}"
        is_new = name not in manifest["tiles"] or not _is_whole(out / "tiles" / name)
        if is_new:
            manifest["tiles"][name] = _write_tile_set(
                scenes, manifest["split"], out / "tiles" / name, tile, overlap, seed
            )
            write_json(out / manifests.NAME, manifest)
    return Prepared(manifest, findings, name, is_new)


def _check_out(out: Path) -> None:
    """Refuse a folder that holds more than :func:`prepare` writes, the source among them."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder")
    foreign = [path for path in out.iterdir() if path.name not in OURS] if out.is_dir() else []
    if foreign:
        raise UserError(f"{foreign[0]}: is not of a prepared folder; name another OUT, or an empty one")


def _is_whole(folder: Path) -> bool:
    """Whether a tile set has every tile that its annotations name."""
    for split in SPLITS:
        annotations = folder / f"{split}.json"
        if not annotations.is_file() or not (folder / split).is_dir():
            return False
        named = {image["file_name"] for image in json.loads(annotations.read_text(encoding="utf-8"))["images"]}
        if not named <= set(os.listdir(folder / split)):
            return False
    return True


def _load_or_begin(source: Path, out: Path, scenes: Sequence[Scene], identity: dict[str, Any]) -> dict[str, Any]:
    hashes = {scene.scene_id: sha256(scene.image) for scene in scenes}
    if (out / manifests.NAME).is_file():
        manifest = manifests.read(out)
        differing = [key for key, value in identity.items() if manifest["source"].get(key) != value]
        if manifest["source"]["images_sha256"] != hashes:
            differing.append("images")
        if differing:
            raise UserError(
                f"{out}: was prepared from another source ({', '.join(differing)} differ); "
                "name another OUT, or delete this one to start anew"
            )
        return manifest
    try:
        split = split_scenes({scene.scene_id: len(scene.boxes) for scene in scenes}, identity["seed"])
    except ValueError as error:
        raise UserError(f"{source}: {error}; train, val and test need a scene each") from error
    (out / "scenes").mkdir(parents=True, exist_ok=True)
    counts = {}
    by_id = {scene.scene_id: scene for scene in scenes}
    for name in SPLITS:
        members = [by_id[scene_id] for scene_id in split[name]]
        images = [_image(scene.scene_id, scene.image.name, scene.width, scene.height) for scene in members]
        write_json(out / "scenes" / f"{name}.json", _coco(images, [scene.boxes for scene in members]))
        counts[name] = {"scenes": len(members), "boxes": sum(len(scene.boxes) for scene in members)}
    return {
        "oil_storage": __version__,
        "source": {"path": str(source.resolve()), **identity, "images_sha256": hashes},
        "class": CLASS_NAME,
        "split": split,
        "counts": counts,
        "tiles": {},
    }


def _write_tile_set(
    scenes: Sequence[Scene], split: dict[str, list[str]], folder: Path, tile: int, overlap: int, seed: int
) -> dict[str, Any]:
    """Cut every scene; ``folder`` appears only when all of it is written. Returns its entry in the manifest."""
    partial_folder = folder.with_name(f".{folder.name}.partial")
    for stale in (partial_folder, folder):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        entry = _write_tiles(scenes, split, partial_folder, tile, overlap, seed)
        os.replace(partial_folder, folder)
    except BaseException:
        shutil.rmtree(partial_folder, ignore_errors=True)
        raise
    return entry


def _write_tiles(
    scenes: Sequence[Scene], split: dict[str, list[str]], folder: Path, tile: int, overlap: int, seed: int
) -> dict[str, Any]:
    by_id = {scene.scene_id: scene for scene in scenes}
    jobs: list[tuple[Scene, list[Tile], Path, bool]] = []
    entry: dict[str, Any] = {"tile": tile, "overlap": overlap, "min_visible": MIN_VISIBLE, "keep_empty": KEEP_EMPTY}
    for name in SPLITS:
        (folder / name).mkdir(parents=True)
        tiles = {scene_id: _tiles(by_id[scene_id], tile, overlap) for scene_id in split[name]}
        if name == "train":
            tiles = _thin_empty(tiles, seed)
        jobs += [(by_id[scene_id], cut, folder / name, name == "train") for scene_id, cut in tiles.items()]
        coco = _tile_coco(tiles, TRAIN_ENCODING[0] if name == "train" else EVAL_ENCODING[0])
        write_json(folder / f"{name}.json", coco)
        per_tile = [len(one.boxes) for cut in tiles.values() for one in cut]
        entry[name] = {"tiles": len(per_tile), "boxes": sum(per_tile), "densest": max(per_tile, default=0)}
    for _ in in_processes(_cut_scene, jobs, f"cutting {tile}_{overlap}", "scene"):
        pass
    return entry


def _tiles(scene: Scene, tile: int, overlap: int) -> list[Tile]:
    grid = tile_grid(scene.width, scene.height, tile, overlap)
    return [Tile(window, cut_boxes(scene.boxes, window)[0]) for window in grid]


def _thin_empty(tiles: dict[str, list[Tile]], seed: int) -> dict[str, list[Tile]]:
    """Keep ``KEEP_EMPTY`` of the tiles without boxes, drawn over all scenes."""
    empty = [(scene_id, i) for scene_id, cut in tiles.items() for i, one in enumerate(cut) if not len(one.boxes)]
    rng = np.random.default_rng(seed)
    chosen = (
        {empty[i] for i in rng.choice(len(empty), round(KEEP_EMPTY * len(empty)), replace=False)} if empty else set()
    )
    return {
        scene_id: [one for i, one in enumerate(cut) if len(one.boxes) or (scene_id, i) in chosen]
        for scene_id, cut in tiles.items()
    }


def _cut_scene(job: tuple[Scene, list[Tile], Path, bool]) -> None:
    scene, tiles, folder, is_train = job
    image = cv2.cvtColor(read_pixels(scene.image), cv2.COLOR_RGB2BGR)  # the order that OpenCV writes
    suffix, encoding = TRAIN_ENCODING if is_train else EVAL_ENCODING
    for tile in tiles:
        x1, y1, x2, y2 = tile.window
        path = folder / _tile_name(scene.scene_id, x1, y1, suffix)
        _, encoded = cv2.imencode(suffix, image[y1:y2, x1:x2], encoding)
        path.write_bytes(encoded.tobytes())


def _tile_name(scene_id: str, x: int, y: int, suffix: str) -> str:
    return f"{scene_id}_{x}_{y}{suffix}"


def _tile_coco(tiles: dict[str, list[Tile]], suffix: str) -> dict[str, Any]:
    images, boxes = [], []
    for scene_id, one in _in_order(tiles):
        x1, y1, x2, y2 = (int(value) for value in one.window)
        image = _image(scene_id, _tile_name(scene_id, x1, y1, suffix), x2 - x1, y2 - y1)
        images.append({**image, "x": x1, "y": y1})
        boxes.append(one.boxes)
    return _coco(images, boxes)


def _in_order(tiles: dict[str, list[Tile]]) -> Iterator[tuple[str, Tile]]:
    for scene_id, cut in tiles.items():
        for one in cut:
            yield scene_id, one


def _image(scene_id: str, file_name: str, width: int, height: int) -> dict[str, Any]:
    return {"file_name": file_name, "width": width, "height": height, "scene_id": scene_id}


def _coco(images: list[dict[str, Any]], boxes: list[NDArray[np.float32]]) -> dict[str, Any]:
    """COCO json: ids count from 1, bbox is xywh in pixels of its image."""
    annotations: list[dict[str, Any]] = []
    for image_id, of_image in enumerate(boxes, start=1):
        for x1, y1, x2, y2 in of_image.tolist():
            bbox = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": bbox,
                    "area": bbox[2] * bbox[3],
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": image_id, **image} for image_id, image in enumerate(images, start=1)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": CLASS_NAME}],
    }
