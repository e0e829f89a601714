"""The score threshold that was chosen for a checkpoint, kept in its ``meta``: detections below it do not count."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from oil_storage.errors import UserError

KEYS = ("score_threshold", "score_threshold_tta")
"""Of one view, and of several that are merged: an object's score is the best of its views', so theirs is higher."""


def stored(checkpoint: Mapping[str, Any], tta: bool = False) -> float | None:
    """The threshold of a checkpoint, see :func:`oil_storage.engine.provenance.read`; None where none was chosen."""
    chosen = checkpoint["meta"].get(KEYS[tta])
    return None if chosen is None else float(chosen["threshold"])


def store(path: Path, threshold: float, f1: float, data: str, tta: bool = False) -> None:
    """Write a threshold into a checkpoint; the file is replaced in one step, or left where nothing would change.

    Args:
        path: of the checkpoint.
        threshold: that maximises F1 on the val split.
        f1: reached with it.
        data: SHA-256 of the data that it was chosen on.
        tta: it is for merged views.

    Raises:
        UserError: the checkpoint cannot be written.
    """
    chosen = {"threshold": threshold, "f1": f1, "data": data}
    content = torch.load(path, map_location="cpu", weights_only=False)
    meta = content.setdefault("meta", {})
    if meta.get(KEYS[tta]) == chosen:
        return
    meta[KEYS[tta]] = chosen
    partial = path.with_name(f".{path.name}.partial")
    try:
        torch.save(content, partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"{path}: the score threshold {threshold:.3f} could not be written into it ({error})"
        ) from error
