import os
import zipfile
from pathlib import Path

import pytest
import torch

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.serialization import check_complete
from oil_storage.checkpoints.work_dir import AtomicBackend, find_last, remove_outdated
from oil_storage.errors import UserError


def test_file_is_replaced_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pth"
    AtomicBackend().put(b"old", path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            AtomicBackend().put(b"new", path)
    assert path.read_bytes() == b"old"
    AtomicBackend().put(b"new", path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("new_format", [True, False])
def test_formats_of_torch_are_accepted_and_other_content_is_refused(tmp_path: Path, new_format: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": torch.zeros(100)}, path, _use_new_zipfile_serialization=new_format)
    check_complete(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"a\.pth: not a checkpoint"):
        check_complete(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.pth: not a checkpoint"):
        check_complete(path)


def test_other_zip_archives_and_corrupt_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no checkpoint")
    with pytest.raises(UserError, match=r"a\.pth: not a checkpoint"):
        check_complete(path)
    torch.save({"state_dict": torch.ones(1000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["state_dict"], torch.ones(1000)), "torch itself does not detect the damage"
    with pytest.raises(UserError, match=r"a\.pth: damaged checkpoint"):
        check_complete(path)


def save(path: Path) -> Path:
    torch.save({"state_dict": {}}, path)
    return path


@pytest.mark.parametrize(("iterations", "name"), [(7, "iter_8.pth"), (8, "iter_8.pth"), (9, "interrupted.pth")])
def test_interrupted_checkpoint_is_found_if_it_is_newer(tmp_path: Path, iterations: int, name: str) -> None:
    for file, done in (("iter_8.pth", 8), ("interrupted.pth", iterations)):
        torch.save({"state_dict": {"a": torch.zeros(1)}, "meta": {"iter": done}}, tmp_path / file)
    assert find_last(tmp_path) == tmp_path / name


def test_replaced_checkpoints_of_a_killed_training_are_removed(tmp_path: Path) -> None:
    known = {"keep_ckpt_ids": [4, 8], "best_ckpt": "/elsewhere/best_coco_bbox_mAP_iter_4.pth"}
    content = {"state_dict": {"a": torch.zeros(1)}, "meta": {"iter": 8}, "message_hub": {"runtime_info": known}}
    torch.save(content, tmp_path / "iter_8.pth")
    kept = {"iter_8.pth", "iter_4.pth", "iter_12.pth", "best_coco_bbox_mAP_iter_4.pth", "interrupted.pth", "own.pth"}
    for name in {*kept, "iter_2.pth", "best_coco_bbox_mAP_iter_2.pth"} - {"iter_8.pth"}:
        save(tmp_path / name)
    remove_outdated(Checkpoint.read(tmp_path / "iter_8.pth"))
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_removed_checkpoints_remain_until_the_next_one_is_written(tmp_path: Path) -> None:
    backend = AtomicBackend()
    backend.put(b"old", tmp_path / "old.pth")
    with backend.removing_last(), backend.removing_last():
        backend.remove(tmp_path / "old.pth")
        backend.put(b"new", tmp_path / "new.pth")
        assert (tmp_path / "old.pth").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new.pth"]


def test_removed_checkpoint_remains_if_the_next_one_cannot_be_written(tmp_path: Path) -> None:
    backend = AtomicBackend()
    backend.put(b"old", tmp_path / "old.pth")

    def fail() -> None:
        with backend.removing_last():
            backend.remove(tmp_path / "old.pth")
            backend.put(b"new", tmp_path / "absent" / "new.pth")

    with pytest.raises(OSError, match="absent"):
        fail()
    assert (tmp_path / "old.pth").exists()


@pytest.mark.parametrize("unit", ["iter", "epoch"])
@pytest.mark.parametrize("pointer", [None, "iter_4000.pth", "/elsewhere/iter_999.pth", ""])
def test_newest_intact_checkpoint_is_found_whatever_last_checkpoint_names(
    tmp_path: Path, unit: str, pointer: str | None
) -> None:
    if pointer is not None:
        (tmp_path / "last_checkpoint").write_text(pointer)
    (tmp_path / f"best_coco_bbox_mAP_{unit}_3000.pth").touch()
    assert find_last(tmp_path) is None
    interrupted = save(tmp_path / "interrupted.pth")
    assert find_last(tmp_path) == interrupted
    old, new = save(tmp_path / f"{unit}_999.pth"), save(tmp_path / f"{unit}_1000.pth")
    save(tmp_path / f"best_coco_bbox_mAP_{unit}_3000.pth")
    assert find_last(tmp_path) == new
    new.write_bytes(new.read_bytes()[:100])
    assert find_last(tmp_path) == old


def test_checkpoint_with_damaged_zip_directory_is_skipped(tmp_path: Path) -> None:
    old, new = save(tmp_path / "iter_1.pth"), save(tmp_path / "iter_2.pth")
    content = bytearray(new.read_bytes())
    content[content.rindex(b"PK\x01\x02")] ^= 255  # the last entry of the directory
    new.write_bytes(content)
    with pytest.raises(UserError, match=r"iter_2\.pth: damaged checkpoint"):
        check_complete(new)
    assert find_last(tmp_path) == old
