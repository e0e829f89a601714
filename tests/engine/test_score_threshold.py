from pathlib import Path

import pytest
import torch

from oil_storage.engine import provenance
from oil_storage.engine.score_threshold import store, stored
from oil_storage.errors import UserError


def checkpoint(folder: Path) -> Path:
    path = folder / "iter_2.pth"
    torch.save({"state_dict": {"weight": torch.arange(3.0)}, "meta": {"iter": 2}}, path)
    return path


def test_a_threshold_travels_with_its_checkpoint(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    assert stored(provenance.read(path)) is None
    store(path, 0.375, 0.8, "abc")
    content = provenance.read(path)
    assert stored(content) == 0.375
    assert content["meta"]["iter"] == 2
    assert content["state_dict"]["weight"].tolist() == [0, 1, 2]
    assert [one.name for one in tmp_path.iterdir()] == ["iter_2.pth"]


def test_the_same_threshold_leaves_the_file_and_another_replaces_it(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    store(path, 0.375, 0.8, "abc")
    before = path.stat()
    store(path, 0.375, 0.8, "abc")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    store(path, 0.5, 0.8, "abc")
    assert stored(provenance.read(path)) == 0.5


def test_merged_views_have_a_threshold_of_their_own(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    store(path, 0.375, 0.8, "abc")
    assert stored(provenance.read(path), tta=True) is None
    store(path, 0.5, 0.9, "abc", tta=True)
    assert [stored(provenance.read(path), tta) for tta in (False, True)] == [0.375, 0.5]


def test_a_checkpoint_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"0.375 could not be written into it .*No space left"):
        store(path, 0.375, 0.8, "abc")
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
