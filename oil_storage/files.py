"""Read text and JSON files; write files and folders atomically."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from oil_storage.errors import UserError, first_problem

T = TypeVar("T")

_HOST = socket.gethostname().replace(".", "-")
_LONGEST = 120
"""Maximum length of a file name within a partial name, in bytes. File systems allow 255 bytes for the whole name."""
_PARTIAL = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)\.(?P<process>\d+)\.partial(?:\.\w+)?")
"""Pattern of the names that :func:`partial_path` returns."""


def partial_path(path: Path) -> Path:
    """Return the temporary path to which this process writes the content of ``path``.

    It has the same suffix, because some libraries derive the file format from the suffix.
    """
    return path.with_name(f".{_shortened(path.name)}.{_HOST}.{os.getpid()}.partial{path.suffix}")


def _shortened(name: str) -> str:
    """Replace the end of a long file name by a digest of the name."""
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST:
        return name
    return f"{encoded[: _LONGEST - 17].decode(errors='ignore')}-{hashlib.sha256(encoded).hexdigest()[:16]}"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path for writing a file, and move the file to ``path`` when the block ends.

    The file and its folder are flushed to disk. After a power failure, ``path`` therefore has either its old or its new
    content. If the block raises an exception, the temporary file is removed and ``path`` does not change.
    """
    partial = partial_path(path)
    try:
        yield partial
        publish(partial, path)
    except BaseException as error:
        _name_target(error, partial, path)
        partial.unlink(missing_ok=True)
        raise


def publish(partial: Path, path: Path) -> None:
    """Flush a complete file to disk and move it to ``path``."""
    _flush(partial)
    os.replace(partial, path)
    _flush(path.parent)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, and move it to ``folder`` when the block ends; see :func:`atomic_file`.

    Raises:
        OSError: ``folder`` is a file or is not empty.
    """
    remove_partial(folder.parent, folder.name)
    partial = partial_path(folder)
    partial.mkdir(parents=True)
    try:
        yield partial
        os.sync()  # one call for possibly thousands of files
        os.replace(partial, folder)
    except BaseException as error:
        _name_target(error, partial, folder)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _flush(folder.parent)


def _name_target(error: BaseException, partial: Path, path: Path) -> None:
    """Replace a temporary name in an error by the final one. Errors of a full disk often have no name."""
    if not isinstance(error, OSError) or error.errno is None:
        return
    for attribute in ("filename", "filename2"):
        name = getattr(error, attribute)
        if isinstance(name, str) and Path(name).is_relative_to(partial):
            setattr(error, attribute, os.fspath(path / Path(name).relative_to(partial)))
    error.filename = os.fspath(path) if error.filename is None else error.filename


def is_partial(path: Path) -> bool:
    """Return whether a path has a name that :func:`partial_path` makes."""
    return _PARTIAL.fullmatch(path.name) is not None


def remove_partial(folder: Path, name: str | None = None) -> None:
    """Remove temporary files and folders that processes of this host left in a folder when they were killed.

    If ``name`` is given, only temporary files for this file name are removed.
    """
    name = name and _shortened(name)
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _PARTIAL.fullmatch(path.name)
        if match is None or name not in (None, match["name"]) or match["host"] != _HOST:
            continue
        if Path("/proc", match["process"]).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to ``path``; see :func:`atomic_file`."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8; see :func:`atomic_file`."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write content as JSON; see :func:`atomic_file`."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """Convert content to the JSON text that :func:`write_json` writes."""
    return json.dumps(content, indent=1) + "\n"


def visible(folder: Path, *patterns: str) -> list[Path]:
    """Return the files and folders that match glob patterns, except hidden ones; sort the matches of each pattern.

    Hidden files in a data set, such as ``._a.txt``, were usually added by other programs.
    """
    return [
        path
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def walk(folder: Path) -> list[Path]:
    """Return the visible files of a folder and its subfolders, sorted; follow links to folders."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        # a link to one of its own parents would never end
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not Path(real).is_relative_to(os.path.realpath(os.path.join(place, name)))
        ]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found)


def read_start(path: Path, size: int) -> bytes:
    """Return the first ``size`` bytes of a file, or fewer; none if the file is a broken link."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(size)


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        UserError: the file is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error


def read_json(path: Path) -> Any:
    """Read JSON in UTF-8 or UTF-16.

    Raises:
        UserError: the file is not JSON; the message gives the line.
    """
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON ({error.msg}); correct it, or use the right file") from error
    except (ValueError, RecursionError) as error:  # not text, or nested too deeply
        raise UserError(f"{path}: cannot be read as JSON ({error}); save it as UTF-8, or use the right file") from error


def validated(content: Any, kind: type[T], path: Path | str) -> T:
    """Validate the content of ``path`` and convert it to a type that pydantic supports.

    Raises:
        UserError: the content is invalid; the message gives the first invalid entry.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; correct it, or use the right file") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_apart(source: Path, out: Path) -> None:
    """Raise UserError if ``out`` is a file or a broken link, equals ``source``, contains it, or is inside it."""
    if out.is_symlink() and not out.exists():
        raise UserError(f"{out}: broken link to {out.readlink()}; use another folder")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; use a folder")
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out}: is inside the source {source}; use a folder elsewhere")
    if source.resolve().is_relative_to(out.resolve()):
        raise UserError(f"{out}: contains the source {source}; use a folder elsewhere")


_locks: set[int] = set()
"""Handles of the folders that this process has locked."""


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Lock a folder. If another process holds the lock, wait for it if ``wait`` is set, or raise UserError.

    The lock ends with this process, even if it is killed and its data workers are still running.
    """
    handle = os.open(folder, os.O_RDONLY)
    _locks.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: another process is writing to this folder; wait until it ends, or choose another folder"
            ) from error
        yield
    finally:
        _locks.discard(handle)
        os.close(handle)


def _release_in_child() -> None:
    """Close the locks that a forked process has inherited. Otherwise, it would hold them after its parent's end."""
    while _locks:
        os.close(_locks.pop())


os.register_at_fork(after_in_child=_release_in_child)
