"""From what a config's ``load_from`` says to a checkpoint file."""

import fcntl
import hashlib
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import mmdet
from mmengine import fileio
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader, load_from_local
from torch.hub import download_url_to_file

from oil_storage.errors import UserError

SCHEME = "mmdet://"
FOLDER = Path("checkpoints")
INDEX = Path(mmdet.__file__).parent / ".mim" / "configs"
TIMEOUT = 30.0  # seconds without a byte


def model_url(name: str) -> str:
    """The address of a checkpoint, as MMDetection's own model index (``metafile.yml``) gives it.

    Args:
        name: a model's ``Name`` there, e.g. ``retinanet_r101_fpn_2x_coco``.

    Raises:
        UserError: the index has no such model, or no weights for it.
    """
    for metafile in sorted(INDEX.glob("*/metafile.yml")):
        if name not in metafile.read_text(encoding="utf-8"):  # YAML is slow to parse
            continue
        content = fileio.load(str(metafile))
        for model in content["Models"] if isinstance(content, dict) else content:
            url = model.get("Weights")
            if model["Name"] == name and isinstance(url, str):  # trackers list several
                return url
    raise UserError(
        f"{SCHEME}{name}: MMDetection's model index has no weights of that name, see {INDEX}/*/metafile.yml"
    )


def resolve(load_from: str) -> Path:
    """A local file for what a config's ``load_from`` says.

    ``mmdet://NAME`` (of the model index) and URLs are looked up in ``checkpoints/`` by file name, and downloaded to
    there if absent. MMDetection ends a file's name in the first 8 hex digits of its SHA-256, which are checked.

    Raises:
        UserError: no such name or file, no network, or a damaged file.
    """
    if load_from.startswith(SCHEME):
        url = model_url(load_from.removeprefix(SCHEME))
    elif load_from.startswith(("http://", "https://")):
        url = load_from
    else:
        path = Path(load_from).expanduser()
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint file")
        return path
    target = FOLDER / url.rpartition("/")[2]
    if not target.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        try:
            with _alone_in(FOLDER):  # the processes of one machine start together
                if not target.is_file():
                    _download(url, target)
        except BaseException:
            with suppress(OSError):  # it holds others
                FOLDER.rmdir()
            raise
    _verify(target)
    return target


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_mmdet(filename: str, map_location: Any = None) -> Any:
    """What mmengine calls for ``mmdet://NAME``."""
    return load_from_local(str(resolve(filename)), map_location)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _digest_in_name(path: Path) -> str | None:
    match = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    return match and match[1]


def _download(url: str, target: Path) -> None:
    """Download under another name, check, rename: ``target`` is whole or absent."""
    print_log(f"Downloading {url} to {target}", logger="current")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        download_url_to_file(url, str(target), _digest_in_name(target), progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:
        raise UserError(
            f"cannot download {url} ({error})\n"
            f"put the file at {target}, or name it with --load-from FILE,\n"
            "or train without a checkpoint: --from-scratch"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _verify(path: Path) -> None:
    expected = _digest_in_name(path)
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise UserError(
            f"{path}: damaged (its SHA-256 begins with {found[:8]}, not {expected}); delete it and run again"
        )
