import os
from pathlib import Path

import pytest
import torch

from oil_storage.engine.checkpoints import WholeFileBackend, check_whole, find_last
from oil_storage.errors import UserError


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pth"
    WholeFileBackend().put(b"old", path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            WholeFileBackend().put(b"new", path)
    assert path.read_bytes() == b"old"
    WholeFileBackend().put(b"new", path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("new_format", [True, False])
def test_torchs_formats_pass_and_pieces_of_them_do_not(tmp_path: Path, new_format: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": torch.zeros(100)}, path, _use_new_zipfile_serialization=new_format)
    check_whole(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"a\.pth: not a checkpoint"):
        check_whole(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.pth: not a checkpoint"):
        check_whole(path)


def test_the_last_checkpoint_is_found_after_the_folder_moved(tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    folder.mkdir()
    assert find_last(folder) is None
    (folder / "last_checkpoint").write_text("/elsewhere/iter_8.pth")
    assert find_last(folder) is None
    (folder / "iter_8.pth").touch()
    assert find_last(folder) == folder / "iter_8.pth"
