import math
from pathlib import Path

import pytest

from oil_storage.annotations.json_file import is_number, load_object
from oil_storage.errors import UserError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_object_is_read_in_every_encoding_of_json(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"ö": 1}', encoding=encoding)
    assert load_object(path) == {"ö": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a":\n 1', r"a\.json:2: not JSON"),
        (b"", r"a\.json:1: not JSON"),
        (b"[1]", "holds a list"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read"),
    ],
)
def test_what_is_no_object_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_object(tmp_path / "a.json")


@pytest.mark.parametrize("value", [1, -2.5, math.nan, math.inf, 10**300])
def test_numbers_are_numbers(value: object) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [True, None, "1", [1], 10**400])
def test_others_are_none(value: object) -> None:
    assert not is_number(value)
