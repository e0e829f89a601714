"""The manifest of a prepared folder: what it was made from, how it was split, which tile sets are complete."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError
from oil_storage.imagery import Reading

NAME = "manifest.json"
SPLITS = ("train", "val", "test")
KEYS = ("source", "split", "counts", "tiles")


def read(folder: Path) -> dict[str, Any]:
    """Read the manifest of a prepared folder.

    Raises:
        UserError: it is not whole, or no manifest of ours.
        FileNotFoundError: there is none.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not json ({error}); delete {folder} and prepare it again") from error
    if absent := _first_absent(content):
        raise UserError(f"{path}: not a manifest, it has no {absent!r}; delete {folder} and prepare it again")
    manifest: dict[str, Any] = content
    return manifest


def _first_absent(manifest: Any) -> str | None:
    """The first part that a manifest should have and this has not, or not of the right kind; None where it is whole."""
    wanted: dict[tuple[str, ...], type] = dict.fromkeys(((key,) for key in KEYS), dict)
    wanted |= {("source", "path"): str, ("source", "annotations_sha256"): str, ("source", "seed"): int}
    wanted |= {("source", "images_sha256"): dict}
    tile_sets = manifest["tiles"] if _has(manifest, ("tiles",), dict) else ()
    for split in SPLITS:
        wanted[("split", split)] = list
        wanted |= {("counts", split, count): int for count in ("scenes", "boxes")}
        wanted |= {("tiles", name, split, count): int for name in tile_sets for count in ("tiles", "boxes", "densest")}
    if absent := next((keys for keys, kind in wanted.items() if not _has(manifest, keys, kind)), None):
        return ".".join(absent)
    hashes = manifest["source"]["images_sha256"]
    scenes = [scene for split in SPLITS for scene in manifest["split"][split]]
    return next((f"source.images_sha256.{scene}" for scene in scenes if scene not in hashes), None)


def _has(content: Any, keys: Sequence[str], kind: type) -> bool:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return isinstance(content, kind)


def identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one prepared data set and split from another, in a few words: for checkpoints and records of runs.

    ``sha256`` is of all that decides what is in which split - images, boxes, seed and choices - wherever they stand;
    the other entries are for people.
    """
    source = manifest["source"]
    choices = {name: value for name, value in source.get("choices", {}).items() if name != "split_file"}
    content = {**source, "choices": choices, "path": None, "split": manifest["split"]}  # the split, however it came
    return {
        "name": Path(source["path"]).name,
        "scenes": len(source["images_sha256"]),
        "annotations_sha256": source["annotations_sha256"],
        "split_seed": source["seed"],
        "sha256": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
    }


def reading(manifest: Mapping[str, Any]) -> Reading:
    """Return how the bands of the scenes became colours when they were prepared."""
    choices = manifest["source"].get("choices", {})
    return Reading(*(None if (value := choices.get(key)) is None else tuple(value) for key in ("bands", "stretch")))


def images(manifest: Mapping[str, Any], split: str) -> dict[str, str]:
    """SHA-256 of each scene's image in a split, by scene."""
    hashes = manifest["source"]["images_sha256"]
    return {scene: hashes[scene] for scene in manifest["split"][split]}
