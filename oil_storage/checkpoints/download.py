"""Find or download the checkpoint that a config names, and load it for mmengine without executing code from it."""

import logging
import re
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import mmdet
from mmengine import fileio
from mmengine.runner.checkpoint import CheckpointLoader, get_external_models, get_torchvision_models
from tqdm import tqdm

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.serialization import restore_message_hub
from oil_storage.errors import UserError
from oil_storage.files import atomic_file, locked, sha256

logger = logging.getLogger(__name__)
FOLDER = Path("checkpoints")
INDEX = Path(mmdet.__file__).parent / ".mim" / "configs"
TIMEOUT = 30.0
"""Seconds without data after which a download fails."""
MOST_BYTES, BLOCK = 8 << 30, 1 << 20
"""Maximum size of downloaded weights, and number of bytes that are read at a time."""
LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts from which weights may be downloaded without encryption."""


def model_url(name: str) -> str:
    """Look up the URL of a model's weights in MMDetection's model index.

    Args:
        name: name of the model, such as ``retinanet_r101_fpn_2x_coco``.

    Raises:
        UserError: the index does not contain the model, or has no weights of it.
    """
    for metafile in sorted(INDEX.glob("*/metafile.yml")):
        if name not in metafile.read_text(encoding="utf-8"):  # YAML is slow to parse
            continue
        content = fileio.load(str(metafile))
        for model in content["Models"] if isinstance(content, dict) else content:
            url = model.get("Weights")
            if model["Name"] == name and isinstance(url, str):  # trackers have several URLs
                return url
    raise UserError(f"mmdet://{name}: no weights in MMDetection's model index; see {INDEX}/*/metafile.yml")


NAMED: dict[str, Callable[[str], str]] = {
    "mmdet": model_url,
    **dict.fromkeys(("torchvision", "modelzoo"), lambda name: str(get_torchvision_models()[name])),
    **dict.fromkeys(("open-mmlab", "openmmlab"), lambda name: str(get_external_models()[name])),
}
"""Functions that return the URL of a named model, by the scheme (``mmdet`` in ``mmdet://NAME``)."""


def resolve(load_from: str) -> Path:
    """Return the local file for a path, a URL or a model name, such as ``mmdet://NAME``.

    The file of a URL or model name is downloaded to ``checkpoints/`` if it is not there yet. If the file name ends
    with ``-XXXXXXXX.pth``, where X is a hex digit, as in MMDetection's files, the SHA-256 must start with these digits.
    A file with another SHA-256 is downloaded again. Only https is accepted, except from this machine.

    Raises:
        UserError: the name or its scheme is unknown, or the download fails.
    """
    scheme, separator, name = load_from.partition("://")
    if not separator:
        return Path(load_from).expanduser()
    try:
        url = load_from if scheme in ("http", "https") else NAMED[scheme](name)
    except (KeyError, ImportError) as error:
        raise UserError(f"{load_from}: no such model ({error}); use a file or a URL") from error
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOCAL:
        raise UserError(f"{load_from}: weights are downloaded over https only; give an https URL or a file")
    target = FOLDER / (PurePosixPath(parts.path).name or "weights.pth")
    match = re.search(r"-([0-9a-f]{8})\.pth$", target.name)
    expected = match[1] if match else ""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked(FOLDER, wait=True):  # the processes of a distributed training start at the same time
        if not target.is_file() or not sha256(target).startswith(expected):
            _download(url, target, expected)
    return target


def load_from_file_or_url(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load a checkpoint to the CPU. mmengine calls this function for ``load_from``, ``resume`` and ``init_cfg``.

    Raises:
        UserError: see :func:`resolve` and :meth:`oil_storage.checkpoints.checkpoint.Checkpoint.read`.
    """
    checkpoint = Checkpoint.read(resolve(filename))
    meta = {key: value for key, value in checkpoint.content["meta"].items() if key != "config"}  # mmengine executes it
    content = {**checkpoint.content, "meta": meta}
    if "message_hub" in content:
        content["message_hub"] = restore_message_hub(content["message_hub"], checkpoint.path)
    return content


# replaces all loaders of mmengine, which could execute code
CheckpointLoader.register_scheme([*CheckpointLoader._schemes, "mmdet://"], load_from_file_or_url, force=True)


def _download(url: str, target: Path, expected: str) -> None:
    """Download a file of at most :data:`MOST_BYTES`, and compare its SHA-256 with the digits in its name.

    Raises:
        UserError: the download fails, is too large, or is not the expected file.
    """
    logger.info("downloading %s to %s", url, target)
    try:
        with atomic_file(target) as partial:
            with urlopen(Request(url, headers={"User-Agent": "oil-storage"}), timeout=TIMEOUT) as answer:
                _copy(answer, partial)
            if not (digest := sha256(partial)).startswith(expected):
                raise ValueError(f"SHA-256 is {digest[:8]}, not {expected}")
    except (OSError, HTTPException, ValueError) as error:
        raise UserError(
            f"{url}: download failed ({error});\n"
            f"save the file as {target}, give another file with --load-from FILE, or give --from-scratch"
        ) from error


def _copy(answer: Any, partial: Path) -> None:
    """Write an answer to a file; raise ValueError if it leads to an insecure server, is too large or incomplete."""
    parts, length = urlsplit(answer.url), answer.headers.get("Content-Length", "")
    if parts.scheme != "https" and parts.hostname not in LOCAL:
        raise ValueError(f"the server redirects to {answer.url}, which is not https")
    size = int(length) if length.isdigit() else None
    with (
        partial.open("wb") as file,
        tqdm(total=size, unit="B", unit_scale=True, delay=2, desc=partial.name) as progress,
    ):
        while block := answer.read(BLOCK):
            file.write(block)
            progress.update(len(block))
            if file.tell() > MOST_BYTES:
                raise ValueError(f"larger than {MOST_BYTES >> 30} GiB")
        if size is not None and file.tell() != size:
            raise ValueError(f"the connection was dropped after {file.tell():,} of {size:,} bytes")
