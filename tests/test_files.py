from pathlib import Path

import pytest

from oil_storage.files import write_bytes, write_text


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
