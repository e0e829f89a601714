"""The manifest of a prepared folder: what it was made from, how it was split, which tile sets are complete."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError

NAME = "manifest.json"
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
    absent = [key for key in KEYS if not isinstance(content, dict) or not isinstance(content.get(key), dict)]
    if absent:
        raise UserError(f"{path}: not a manifest, it has no {absent[0]!r}; delete {folder} and prepare it again")
    manifest: dict[str, Any] = content
    return manifest


def identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one prepared data set and split from another, in a few words: for the records of runs."""
    source = manifest["source"]
    return {
        "name": Path(source["path"]).name,
        "scenes": len(source["images_sha256"]),
        "annotations_sha256": source["annotations_sha256"],
        "split_seed": source["seed"],
    }
