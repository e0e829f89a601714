import json
from pathlib import Path

import pytest

from oil_storage.errors import UserError
from oil_storage.inference import remote_file
from oil_storage.inference.remote_file import first_bytes, read_json, shown
from tests.range_server import RangeServer


def test_shown_url_has_no_credentials() -> None:
    assert shown("https://user:secret@host:8000/a/b.tif?token=secret#x") == "https://host:8000/a/b.tif"


@pytest.mark.parametrize("fault", ["drops", "fails"])
def test_request_is_repeated_after_a_fault(server: RangeServer, www: Path, fault: str) -> None:
    setattr(server, fault, 3)
    start = first_bytes(f"{server.url}/cog.tif")
    assert start.content == (www / "cog.tif").read_bytes()[: 2**14]
    assert start.has_ranges
    assert len(server.requests) == 4
    setattr(server, fault, 4)
    with pytest.raises(UserError, match=r"strips\.tif: no answer in 4 attempts \(.+\); check the URL, the network"):
        first_bytes(f"{server.url}/strips.tif?token=secret")


def test_version_changes_with_the_file(server: RangeServer, www: Path) -> None:
    versions = set()
    for content in ("1", "2"):
        (www / "changing.tif").write_text(content)
        first_bytes.cache_clear()
        versions.add(first_bytes(f"{server.url}/changing.tif").version)
    assert len(versions) == 2


@pytest.mark.parametrize(("status", "words"), [(403, "access refused"), (404, "no such file"), (418, "HTTP 418")])
def test_refusal_is_not_repeated(server: RangeServer, status: int, words: str) -> None:
    server.status, server.fails = status, 1
    with pytest.raises(UserError, match=words):
        first_bytes(f"{server.url}/cog.tif?{status}")
    assert len(server.requests) == 1


def test_unreachable_server_and_malformed_url_give_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "WAITS", ())
    for url in ("http://127.0.0.1:1/a.tif", "http://host:port/a.tif"):
        with pytest.raises(UserError, match="no answer in 1 attempts"):
            first_bytes(url)


def test_json_is_read_whole_and_within_bounds(server: RangeServer, www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"text": "x" * 50_000}
    (www / "a.json").write_text(json.dumps(content))
    assert read_json(f"{server.url}/a.json") == content
    with pytest.raises(UserError, match=r"page\.html: not JSON"):
        read_json(f"{server.url}/page.html")
    monkeypatch.setattr(remote_file, "LARGEST_JSON", 1000)
    with pytest.raises(UserError, match=r"a\.json: larger than"):
        read_json(f"{server.url}/a.json")
