from pathlib import Path
from typing import Any

import pytest

from oil_storage.cli.false_start import nothing_left
from oil_storage.errors import UserError


def begin(folder: Path) -> Path:
    """Write what mmengine writes before the first iteration; returns the file of figures."""
    log = folder / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    (folder / "a.py").write_text("new")
    log.touch()
    return log


def refuse(folder: Path, loss: str = "", checkpoint: str = "", error: type[Exception] = UserError) -> None:
    @nothing_left(folder)
    def start() -> None:
        begin(folder).write_text(loss)
        if checkpoint:
            (folder / checkpoint).touch()
        raise error("refused")

    with pytest.raises(error):
        start()


def test_folders_that_were_not_there_are_gone(tmp_path: Path) -> None:
    refuse(tmp_path / "work_dirs" / "a")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("old")
    (tmp_path / "iter_4.pth").touch()
    refuse(tmp_path, error=PermissionError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "iter_4.pth"]
    assert (tmp_path / "a.py").read_text() == "old"


@pytest.mark.parametrize("how", [{"loss": '{"loss": 1}'}, {"checkpoint": "interrupted.pth"}, {"error": RuntimeError}])
def test_what_has_begun_and_what_is_no_fault_of_the_users_leaves_its_log(tmp_path: Path, how: dict[str, Any]) -> None:
    refuse(tmp_path, **how)
    assert (tmp_path / "20260101_000000").is_dir()
    assert (tmp_path / "a.py").read_text() == "new"


def test_what_goes_well_is_left_alone(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "work"):
        begin(tmp_path / "work")
    assert (tmp_path / "work" / "a.py").is_file()
