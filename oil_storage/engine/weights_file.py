"""Weights for others, as safetensors: small, and nothing that runs when they are read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from oil_storage.errors import UserError

SUFFIX = ".safetensors"
META = "oil_storage"
"""Key of the file's metadata: json of what a checkpoint says of itself."""


def to_bytes(checkpoint: Mapping[str, Any], told: Mapping[str, Any]) -> bytes:
    """A checkpoint's weights in half precision, averaged where the training averaged; without optimiser.

    What half precision cannot hold, above 65,504, stays as it is.

    Args:
        checkpoint: its ``state_dict`` is kept.
        told: what the file says of them, instead of the checkpoint's ``meta``; must go into json.
    """
    weights = {name: _halved(value).contiguous() for name, value in checkpoint["state_dict"].items()}
    written: bytes = save(weights, metadata={META: json.dumps(told)})
    return written


def _halved(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() and value.half().isfinite().all() else value


def read(path: Path) -> dict[str, Any]:
    """Read what :func:`to_bytes` made, as a checkpoint: ``meta``, and ``state_dict`` in single precision.

    Raises:
        UserError: damaged, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})[META])
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: damaged, or no weights that tools/export.py wrote ({type(error).__name__}: {error})"
        ) from error
    weights = {name: value.float() if value.dtype == torch.half else value for name, value in values.items()}
    return {"meta": meta, "state_dict": weights}


@CheckpointLoader.register_scheme(prefixes=rf"(?i).*\{SUFFIX}$")  # which mmengine takes for a pattern
def load_from_safetensors(filename: str, map_location: Any = None) -> dict[str, Any]:
    """How mmengine reads such a file, for ``load_from``."""
    return read(Path(filename))
