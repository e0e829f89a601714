"""Read and write ``.pth`` files as data.

A pickle can name any function and have it called. Here it may name tensors, containers, and what NumPy arrays are made
of. Files of this project need the first two only, because :func:`write` stores what mmengine logs as plain data.
"""

import collections
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from oil_storage.errors import UserError
from oil_storage.files import atomic_file

_REFUSED = re.compile(r"(?:GLOBAL|function|class|but got) <?(?:(?:built-in )?(?:function|class) )?'?([\w.]+)")
"""The name of a type in the messages of torch's restricted unpickler."""


_multiarray: Any = np._core.multiarray  # type: ignore[attr-defined]


class _OldHistory:
    """Stand-in for a pickled :class:`mmengine.logging.HistoryBuffer`: it takes the attributes and does nothing."""


def _ignored_attribute(*_: Any) -> None:
    """Stand-in for ``getattr``, by which older checkpoints name the methods of a history. Nothing is looked up."""


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
]
"""Types that a pickle may name beside torch's own list of tensors and containers. The last two are stand-ins."""


def read(path: Path, map_location: Any = "cpu") -> Any:
    """Read what :func:`torch.save` wrote, without running any of it.

    Args:
        path: of the file; zip archives and torch's older format are read.
        map_location: see :func:`torch.load`.

    Returns:
        The content. Histories that mmengine logged are plain dicts, see :func:`plain`.

    Raises:
        UserError: the file is damaged, is no checkpoint, or names a type that is not on the list.
    """
    check_complete(path)
    try:
        with torch.serialization.safe_globals(ALLOWED):
            mmap = map_location == "cpu" and zipfile.is_zipfile(path)
            return plain(torch.load(path, map_location=map_location, weights_only=True, mmap=mmap))
    except OSError:
        raise
    except Exception as error:  # a broken pickle raises anything
        told = re.search("WeightsUnpickler error: (.+)", str(error))  # behind torch's advice to load without care
        reason = told[1].strip() if told else (str(error).splitlines() or [repr(error)])[0]
        if refused := _REFUSED.search(str(error)):
            raise UserError(
                f"{path}: holds a Python object of type {refused[1]}, which could run code and is not loaded; "
                "ask for the weights as safetensors, or saved by torch.save({'state_dict': model.state_dict()}, FILE)"
            ) from error
        raise UserError(f"{path}: not a checkpoint ({reason}); replace it") from error


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint as plain data; see :func:`plain` and :func:`oil_storage.files.atomic_file`."""
    with atomic_file(path) as partial:
        torch.save(plain(content), partial)


def plain(content: Any) -> Any:
    """Replace logged histories and NumPy scalars by dicts, tensors and numbers; the rest is returned as it is."""
    if isinstance(content, HistoryBuffer | _OldHistory):
        log, count = vars(content)["_log_history"], vars(content)["_count_history"]
        return {
            "log_history": torch.tensor(log),
            "count_history": torch.tensor(count),
            "max_length": vars(content)["max_length"],
        }
    if isinstance(content, np.generic):
        return content.item()
    if isinstance(content, Mapping) and content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return content  # a state dict, which has attributes of its own
    if isinstance(content, collections.OrderedDict):
        return collections.OrderedDict((key, plain(value)) for key, value in content.items())
    if isinstance(content, Mapping):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    if type(content) is tuple:
        return tuple(plain(value) for value in content)
    return content


def restore_message_hub(message_hub: Any, path: Path) -> dict[str, Any]:
    """Return what mmengine logged as its ``MessageHub`` takes it: with the histories that :func:`plain` replaced.

    Raises:
        UserError: it is something else.
    """
    try:
        scalars = {name: _history(**stored) for name, stored in message_hub["log_scalars"].items()}
        return {**message_hub, "log_scalars": collections.OrderedDict(scalars)}
    except (AttributeError, KeyError, TypeError, AssertionError) as error:
        raise UserError(f"{path}: message_hub is damaged ({error}); take an earlier checkpoint") from error


def _history(log_history: torch.Tensor, count_history: torch.Tensor, max_length: int) -> HistoryBuffer:
    return HistoryBuffer(log_history.numpy(), count_history.numpy(), max_length)


def check_complete(path: Path) -> None:
    """Refuse a file that cannot be a checkpoint, or is the beginning of one.

    Raises:
        UserError: neither a whole zip archive, as torch writes since 1.6, nor a pickle, as it wrote before.
    """
    with path.open("rb") as file:
        start = file.read(2)
    if not zipfile.is_zipfile(path):
        if start != b"\x80\x02":
            raise UserError(f"{path}: {'a truncated' if start == b'PK' else 'not a'} checkpoint; replace it")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names, damaged = archive.namelist(), archive.testzip()  # torch does not look at the checksums
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: a damaged checkpoint ({error}); replace it") from error
    if not any(name.endswith("/data.pkl") for name in names):
        raise UserError(f"{path}: not a checkpoint; it is another zip archive")
    if damaged is not None:
        raise UserError(f"{path}: a damaged checkpoint; replace it")
