import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from oil_storage.errors import UserError
from oil_storage.files import (
    atomic_folder,
    locked,
    partial_path,
    read_json,
    remove_partial,
    visible,
    write_bytes,
    write_text,
)


def test_write_text_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    write_text(path, "ä")
    assert path.read_bytes() == "ä".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "a.txt", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_file_is_flushed_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("rename"), replace(*names)))
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    write_text(tmp_path / "a.txt", "one")
    assert done == [str(partial_path(tmp_path / "a.txt")), "rename", str(tmp_path)]
    assert f".{os.getpid()}." in done[0]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as partial:
        (partial / "a.txt").touch()
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a.txt"]
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a.txt"]


def test_only_temporary_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    host = partial_path(Path("a")).name.split(".")[2]
    gone = [f".a.pth.{host}.{dead.pid}.partial.pth", f".out.{host}.{dead.pid}.partial"]
    alive = [f".a.pth.{host}.{pid}.partial.pth" for pid in (os.getpid(), os.getppid())]
    remaining = [*alive, f".a.pth.elsewhere.{dead.pid}.partial.pth", "a.pth", ".hidden", "notes.partial"]
    for name in [gone[0], *remaining]:
        (tmp_path / name).touch()
    (tmp_path / gone[1]).mkdir()
    (tmp_path / gone[1] / "tile.png").touch()
    remove_partial(tmp_path, "a.pth")
    assert sorted(os.listdir(tmp_path)) == sorted([*remaining, gone[1]])
    remove_partial(tmp_path)
    remove_partial(tmp_path / "none")
    assert sorted(os.listdir(tmp_path)) == sorted(remaining)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_is_read_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"ö": 1}', encoding=encoding)
    assert read_json(path) == {"ö": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a":\n 1', r"a\.json:2: not JSON"),
        (b"", r"a\.json:1: not JSON"),
        (b'{"a": "\xff"}', "cannot be read as JSON .*save it as UTF-8"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_json(tmp_path / "a.json")


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    source = tmp_path / ".hidden" / "source"  # hidden above the source does not count
    for name in ("b.txt", "a.txt", "._a.txt", ".cache/c.txt", "sub/d.txt", "sub/.e.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    paths = visible(source, "*.txt", "*/*.txt")
    assert [str(path.relative_to(source)) for path in paths] == ["a.txt", "b.txt", "sub/d.txt"]
    assert visible(source / "nowhere", "*") == []


@pytest.mark.parametrize("name", ["x" * 255, "x" * 251 + ".tif", "ö" * 127])
def test_files_with_long_names_are_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "one")
    assert os.listdir(tmp_path) == [name]
    partial = partial_path(tmp_path / name)
    assert partial != partial_path(tmp_path / f"{name[:-1]}y")
    assert len(os.fsencode(partial.name)) <= 255


def test_second_lock_of_a_folder_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UserError, match="another process is writing"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
    assert not os.listdir(tmp_path)


def test_lock_ends_with_its_process_and_not_with_forked_ones(tmp_path: Path) -> None:
    ready, start = os.pipe()
    if (owner := os.fork()) == 0:
        with locked(tmp_path):
            if os.fork() == 0:
                os.write(start, b"x")
                time.sleep(60)  # like a data worker
                os._exit(0)
            time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(UserError, match="another process"), locked(tmp_path):
        pass
    worker = int(Path(f"/proc/{owner}/task/{owner}/children").read_text())
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    with locked(tmp_path):
        pass
    os.kill(worker, signal.SIGKILL)


def test_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"a\.txt"):
        write_text(tmp_path / "a.txt", "one")
    assert not os.listdir(tmp_path)
