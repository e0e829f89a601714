"""Find or download the checkpoint that a config names, and load it for mmengine without executing code from it."""

import re
import socket
import sys
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import mmdet
from mmengine import fileio
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader, get_external_models, get_torchvision_models
from torch.hub import download_url_to_file

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.serialization import restore_message_hub
from oil_storage.errors import UserError
from oil_storage.files import locked, sha256

FOLDER = Path("checkpoints")
INDEX = Path(mmdet.__file__).parent / ".mim" / "configs"
TIMEOUT = 30.0
"""Seconds without data after which a download fails."""


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

    Raises:
        UserError: the name or its scheme is unknown, the download fails, or the file is damaged.
    """
    scheme, separator, name = load_from.partition("://")
    if not separator:
        return Path(load_from).expanduser()
    try:
        url = load_from if scheme in ("http", "https") else NAMED[scheme](name)
    except (KeyError, ImportError) as error:
        raise UserError(f"{load_from}: no such model ({error}); use a file or a URL") from error
    target = FOLDER / url.rpartition("/")[2]
    match = re.search(r"-([0-9a-f]{8})\.pth$", target.name)
    expected = match[1] if match else ""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked(FOLDER, wait=True):  # the processes of a distributed training start at the same time
        if not target.is_file():
            _download(url, target, expected)
    if expected and not (digest := sha256(target)).startswith(expected):
        raise UserError(f"{target}: damaged (SHA-256 {digest[:8]}, expected {expected}); delete it and run again")
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


def _download(url: str, target: Path, digest: str) -> None:
    """Download a file and check its SHA-256. torch writes to a temporary file and renames it to ``target``."""
    print_log(f"Downloading {url} to {target}", logger="current")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        download_url_to_file(url, str(target), digest, progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:
        raise UserError(
            f"{url}: download failed ({error});\n"
            f"save the file as {target}, give another file with --load-from FILE, or give --from-scratch"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
