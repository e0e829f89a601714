"""Lookup and download of checkpoints, with a local server."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from oil_storage.checkpoints import download
from oil_storage.checkpoints.download import model_url, resolve
from oil_storage.errors import UserError


class Handler(SimpleHTTPRequestHandler):
    """Handler that serves the files of a folder, and only half of files named ``cut``."""

    def do_GET(self):
        self.server.requests.append(self.path)
        if "cut" not in self.path:
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """Serve a folder; yield the folder, its URL and the server, which records its ``requests``."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.requests = []
    server.handle_error = lambda *args: None  # some tests close the connection early
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}", server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Use a new ``checkpoints/`` folder and no proxy."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT", 5.0)


def put(folder, stem, content=None):
    """Write a checkpoint whose name ends with its digest; return the name."""
    path = folder / "unnamed"
    if content is None:
        torch.save({"state_dict": {"weight": torch.arange(3.0)}, "meta": {}}, path)
    else:
        path.write_bytes(content)
    name = f"{stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(folder / name)
    return name


def index(tmp_path, monkeypatch, **weights):
    """Replace the model index by one with the given names and URLs."""
    folder = tmp_path / "index" / "family"
    folder.mkdir(parents=True)
    lines = ["Models:"]
    for name, url in weights.items():
        lines += [f"  - Name: {name}", f"    Config: configs/{name}.py"] + ([f"    Weights: {url}"] if url else [])
    (folder / "metafile.yml").write_text("\n".join(lines))
    monkeypatch.setattr(download, "INDEX", folder.parent)


def test_url_is_found_in_the_model_index_of_mmdet():
    url = model_url("retinanet_r101_fpn_2x_coco")
    assert url.startswith("https://download.openmmlab.com/mmdetection/")
    assert "/retinanet_r101_fpn_2x_coco_" in url


@pytest.mark.parametrize("name", ["retinanet_r101", "no_such_model"])
def test_unknown_or_partial_name_is_refused(name):
    with pytest.raises(UserError, match=f"mmdet://{name}: .*model index"):
        model_url(name)


def test_model_without_weights_is_refused(tmp_path, monkeypatch):
    index(tmp_path, monkeypatch, bare=None)
    with pytest.raises(UserError, match="no weights"):
        model_url("bare")


def test_file_is_downloaded_once(tmp_path, monkeypatch, served):
    folder, address, server = served
    name = put(folder, "model")
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")
    for _ in range(2):
        path = resolve("mmdet://tiny")
        assert path.as_posix() == f"checkpoints/{name}"
        assert path.read_bytes() == (folder / name).read_bytes()
    assert server.requests == [f"/{name}"]
    assert os.listdir("checkpoints") == [name]
    loaded = CheckpointLoader.load_checkpoint("mmdet://tiny", map_location="cpu")
    assert loaded["state_dict"]["weight"].tolist() == [0, 1, 2]


def test_existing_file_is_used_without_network(tmp_path, monkeypatch):
    os.mkdir("checkpoints")
    name = put(tmp_path / "run" / "checkpoints", "model")
    index(tmp_path, monkeypatch, tiny=f"http://127.0.0.1:9/{name}")
    assert resolve("mmdet://tiny").name == name


def test_concurrent_processes_download_once(tmp_path, monkeypatch, served):
    folder, address, server = served
    name = put(folder, "model", os.urandom(1 << 20))
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(resolve, ["mmdet://tiny"] * 4))
    assert {path.name for path in paths} == {name}
    assert server.requests == [f"/{name}"]


@pytest.mark.parametrize("stem", ["cut", "absent"])
def test_failed_download_leaves_no_file_and_names_remedies(tmp_path, monkeypatch, served, stem):
    folder, address, _ = served
    name = put(folder, stem, os.urandom(1 << 16))
    if stem == "absent":
        (folder / name).unlink()
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")
    with pytest.raises(UserError) as caught:
        resolve("mmdet://tiny")
    lines = str(caught.value).splitlines()
    assert len(lines) <= 3
    assert f"{address}/{name}" in lines[0]
    assert f"checkpoints/{name}" in str(caught.value)
    assert "--from-scratch" in str(caught.value)
    assert os.listdir("checkpoints") == []


def test_interrupted_download_leaves_no_file(tmp_path, monkeypatch, served):
    folder, address, _ = served
    name = put(folder, "model", os.urandom(1 << 20))
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")

    def interrupt(self, count):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.tqdm, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        resolve("mmdet://tiny")
    assert os.listdir("checkpoints") == []


def test_error_without_network_names_url_file_and_option(tmp_path, monkeypatch):
    index(tmp_path, monkeypatch, tiny="http://127.0.0.1:9/tiny-01234567.pth")
    with pytest.raises(UserError) as caught:
        resolve("mmdet://tiny")
    for part in ("http://127.0.0.1:9/tiny-01234567.pth", "checkpoints/tiny-01234567.pth", "--from-scratch"):
        assert part in str(caught.value)


def test_cached_file_with_another_hash_is_downloaded_again(tmp_path, monkeypatch, served):
    folder, address, server = served
    name = put(folder, "model")
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")
    os.mkdir("checkpoints")
    Path("checkpoints", name).write_bytes(b"damaged")
    assert resolve("mmdet://tiny").read_bytes() == (folder / name).read_bytes()
    assert server.requests == [f"/{name}"]


def test_other_content_than_the_name_states_is_refused(tmp_path, monkeypatch, served):
    folder, address, _ = served
    name = put(folder, "model")
    (folder / name).write_bytes(b"other content")
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")
    with pytest.raises(UserError, match="SHA-256 is"):
        resolve("mmdet://tiny")
    assert os.listdir("checkpoints") == []


def test_larger_files_than_allowed_are_refused(tmp_path, monkeypatch, served):
    folder, address, _ = served
    name = put(folder, "model", os.urandom(3 << 20))
    monkeypatch.setattr(download, "MOST_BYTES", 2 << 20)
    with pytest.raises(UserError, match="larger than"):
        resolve(f"{address}/{name}")
    assert os.listdir("checkpoints") == []


@pytest.mark.parametrize("url", ["http://example.org/a.pth", "HTTP://127.0.0.1.example.org/a.pth"])
def test_weights_are_downloaded_over_https_only(url):
    with pytest.raises(UserError, match=r"https only|no such model"):
        resolve(url)


def test_urls_and_paths_are_resolved(tmp_path, served):
    folder, address, _ = served
    name = put(folder, "model")
    assert resolve(f"{address}/{name}").as_posix() == f"checkpoints/{name}"
    assert resolve(str(folder / name)) == folder / name
