import os
import subprocess
from pathlib import Path

import pytest

from oil_storage.files import atomic_folder, partial_path, remove_partial, write_bytes, write_text


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    write_text(path, "ä")
    assert path.read_bytes() == "ä".encode()
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_what_cannot_be_put_into_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "a.txt", b"one")
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_file_and_its_folder_are_flushed_before_and_after_the_rename(
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


def test_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as partial:
        (partial / "a.txt").touch()
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a.txt"]
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a.txt"]


def test_parts_left_by_dead_processes_are_removed_and_others_stay(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    host = partial_path(Path("a")).name.split(".")[2]
    gone = [f".a.pth.{host}.{dead.pid}.partial.pth", ".a.pth.partial", f".out.{host}.{dead.pid}.partial"]
    alive = [f".a.pth.{host}.{pid}.partial.pth" for pid in (os.getpid(), os.getppid())]
    kept = [*alive, f".a.pth.elsewhere.{dead.pid}.partial.pth", "a.pth", ".hidden", "notes.partial"]
    for name in [*gone[:2], *kept]:
        (tmp_path / name).touch()
    (tmp_path / gone[2]).mkdir()
    (tmp_path / gone[2] / "tile.png").touch()
    remove_partial(tmp_path, "a.pth")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, gone[2]])
    remove_partial(tmp_path)
    remove_partial(tmp_path / "none")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
