"""Read and write checkpoint files without executing code.

Complete checkpoints are ``.pth`` files, which contain a pickle. A pickle can call any function, so only tensors,
containers and NumPy arrays are allowed. Weights without training state can also be safetensors files.
"""

import argparse
import json
import re
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from oil_storage.errors import UserError
from oil_storage.files import atomic_file

SAFETENSORS = ".safetensors"
"""Suffix of files that contain only weights."""
META = "oil_storage"
"""Key in the metadata of a safetensors file; its value is the ``meta`` of a checkpoint as JSON."""
_multiarray: Any = np._core.multiarray  # type: ignore[attr-defined]


class _OldHistory:
    """Replacement for :class:`mmengine.logging.HistoryBuffer` in a pickle. It only stores the attributes."""


def _ignored_attribute(*_: Any) -> None:
    """Do nothing in place of ``getattr``, which older checkpoints call to look up methods of a history."""


ALLOWED: list[Any] = [
    (_multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),
    (_multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    (_multiarray.scalar, "numpy._core.multiarray.scalar"),
    (_multiarray.scalar, "numpy.core.multiarray.scalar"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("bool", "int32", "int64", "uint8", "float32", "float64")),
    (_OldHistory, "mmengine.logging.history_buffer.HistoryBuffer"),
    (_ignored_attribute, "builtins.getattr"),
    argparse.Namespace,  # options of the training, in files of torchvision, DETR and DINO
]
"""Types and functions that a pickle may contain in addition to torch's list; two entries are replacements."""


def read_pth(path: Path) -> Any:
    """Read a file of :func:`torch.save`, in its zip or older pickle format, and convert the content by :func:`plain`.

    Raises:
        UserError: the file is damaged, is not a checkpoint, or contains a type that is not :data:`ALLOWED`.
    """
    check_complete(path)
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return plain(torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)))
    except OSError:
        raise
    except Exception as error:  # a broken pickle can raise any exception
        # skip the beginning of torch's message, which recommends unsafe loading
        match = re.search("(?:WeightsUnpickler error: |(?=Trying to load ))(.+)", str(error))
        reason = match[1].strip() if match else (str(error).splitlines() or [repr(error)])[0]
        raise UserError(
            f"{path}: not a checkpoint that can be read safely ({reason}); replace it, or save only its weights: "
            "torch.save({'state_dict': model.state_dict()}, FILE)"
        ) from error


def write_pth(path: Path, content: Mapping[str, Any]) -> None:
    """Convert a checkpoint by :func:`plain` and write it atomically."""
    with atomic_file(path) as partial:
        torch.save(plain(content), partial)


def plain(content: Any) -> Any:
    """Convert mmengine's histories to dicts with tensors, and NumPy scalars to numbers, also inside containers.

    Other values are not changed.
    """
    if isinstance(content, HistoryBuffer | _OldHistory):
        log, count = vars(content)["_log_history"], vars(content)["_count_history"]
        stored = {"log_history": torch.tensor(log), "count_history": torch.tensor(count)}
        return {**stored, "max_length": vars(content)["max_length"]}
    if isinstance(content, np.generic):
        return content.item()
    if isinstance(content, Mapping):
        if content and all(isinstance(value, torch.Tensor) for value in content.values()):
            return content  # a state dict, whose attributes would be lost
        kind = OrderedDict if isinstance(content, OrderedDict) else dict
        return kind((key, plain(value)) for key, value in content.items())
    if type(content) in (list, tuple):
        return type(content)(plain(value) for value in content)
    return content


def restore_message_hub(message_hub: Any, path: Path) -> dict[str, Any]:
    """Restore the histories in a ``message_hub`` from the dicts of :func:`plain`; raise UserError if it is damaged."""
    try:
        scalars = OrderedDict(
            (name, HistoryBuffer(stored["log_history"].numpy(), stored["count_history"].numpy(), stored["max_length"]))
            for name, stored in message_hub["log_scalars"].items()
        )
    except (AttributeError, KeyError, TypeError, AssertionError) as error:
        raise UserError(f"{path}: message_hub is damaged ({error}); use an earlier checkpoint") from error
    return {**message_hub, "log_scalars": scalars}


def check_complete(path: Path) -> None:
    """Raise UserError unless a file is an intact zip archive of torch, or a pickle of torch < 1.6."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(2)
        if start != b"\x80\x02":
            raise UserError(f"{path}: {'truncated' if start == b'PK' else 'not a'} checkpoint; replace it")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names, damaged = archive.namelist(), archive.testzip()  # torch does not verify the checksums
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: damaged checkpoint ({error}); replace it") from error
    if damaged is not None:
        raise UserError(f"{path}: damaged checkpoint ({damaged} is corrupt); replace it")
    if not any(name.endswith("/data.pkl") for name in names):
        raise UserError(f"{path}: not a checkpoint but another zip archive; use a file from tools/train.py")


def to_safetensors(state_dict: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> bytes:
    """Encode weights in half precision, with ``meta`` as JSON. Tensors with values above 65,504 are not converted."""
    weights = {}
    for name, value in state_dict.items():
        fits = value.is_floating_point() and value.half().isfinite().all()
        weights[name] = (value.half() if fits else value).contiguous()
    return bytes(save(weights, metadata={META: json.dumps(meta)}))


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read weights; return a dict with ``meta``, and ``state_dict`` in single precision.

    ``meta`` is empty if the file is not of :func:`to_safetensors`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get(META, "{}"))
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is not a mapping
    except (SafetensorError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged weights ({type(error).__name__}: {error}); replace it") from error
    weights = {name: value.float() if value.dtype == torch.half else value for name, value in values.items()}
    return {"meta": meta, "state_dict": weights}
