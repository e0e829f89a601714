"""Weights as safetensors: half the size of those in a checkpoint, without the state of the training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from oil_storage.errors import UserError

SUFFIX = ".safetensors"
META = "oil_storage"
"""Key of the file's metadata: the ``meta`` of a checkpoint as JSON."""


def to_bytes(state_dict: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> bytes:
    """Encode weights in half precision, with JSON data about them; a tensor with values above 65,504 stays as it is."""
    weights = {name: _halved(value).contiguous() for name, value in state_dict.items()}
    content: bytes = save(weights, metadata={META: json.dumps(meta)})
    return content


def _halved(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() and value.half().isfinite().all() else value


def read(path: Path) -> dict[str, Any]:
    """Read a file of :func:`to_bytes` as a checkpoint: ``meta``, and ``state_dict`` in single precision."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})[META])
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a mapping
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: damaged, or not written by tools/export.py ({reason})") from error
    weights = {name: value.float() if value.dtype == torch.half else value for name, value in values.items()}
    return {"meta": meta, "state_dict": weights}
