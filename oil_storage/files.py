"""Files that are either whole or not there."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError


def write_bytes(path: Path, content: bytes) -> None:
    """Write so that ``path`` is never seen half-written; an older file there is replaced in one step."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` of text in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """:func:`write_text` of anything that :mod:`json` takes."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """What :func:`write_json` writes."""
    return json.dumps(content, indent=1) + "\n"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_apart(source: Path, out: Path) -> None:
    """Refuse an output folder that is its source, lies in it or holds it, and what is there and no folder.

    Raises:
        UserError: says so.
    """
    if out.is_symlink() and not out.exists():
        raise UserError(f"{out}: is a link to {out.readlink()}, which is not there; name a folder")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder")
    inner, outer = out.resolve(), source.resolve()
    if inner == outer or outer in inner.parents:
        raise UserError(f"{out}: lies in {source}, from which it is made; name a folder elsewhere")
    if inner in outer.parents:
        raise UserError(f"{out}: holds {source}, from which it is made; name a folder elsewhere")


def empty(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same folder out of it.

    Raises:
        UserError: another process is in it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another process is writing to it; wait until it has ended") from error
        yield
    finally:
        os.close(handle)
