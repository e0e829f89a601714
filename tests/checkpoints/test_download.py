"""From a name to a checkpoint file, with a server of our own and no network."""

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
    """Files of a folder; those named ``cut`` break off half-way."""

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
    """A folder and the address it is served at; ``requests`` of the server lists what was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.requests = []
    server.handle_error = lambda *args: None  # a client that hangs up is what some tests are about
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}", server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """``checkpoints/`` is that of a fresh folder, and no proxy stands before the server."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT", 5.0)


def put(folder, stem, content=None):
    """Write a checkpoint whose name ends in its digest, as MMDetection's do; return the name."""
    path = folder / "unnamed"
    if content is None:
        torch.save({"state_dict": {"weight": torch.arange(3.0)}, "meta": {}}, path)
    else:
        path.write_bytes(content)
    name = f"{stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(folder / name)
    return name


def index(tmp_path, monkeypatch, **weights):
    """Let the model index be one that knows these names."""
    folder = tmp_path / "index" / "family"
    folder.mkdir(parents=True)
    lines = ["Models:"]
    for name, url in weights.items():
        lines += [f"  - Name: {name}", f"    Config: configs/{name}.py"] + ([f"    Weights: {url}"] if url else [])
    (folder / "metafile.yml").write_text("\n".join(lines))
    monkeypatch.setattr(download, "INDEX", folder.parent)


def test_url_comes_from_mmdet_s_own_index():
    url = model_url("retinanet_r101_fpn_2x_coco")
    assert url.startswith("https://download.openmmlab.com/mmdetection/")
    assert "/retinanet_r101_fpn_2x_coco_" in url


@pytest.mark.parametrize("name", ["retinanet_r101", "no_such_model"])
def test_a_part_of_a_name_is_no_name(name):
    with pytest.raises(UserError, match=f"mmdet://{name}: .*model index"):
        model_url(name)


def test_a_model_without_weights_is_refused(tmp_path, monkeypatch):
    index(tmp_path, monkeypatch, bare=None)
    with pytest.raises(UserError, match="no weights"):
        model_url("bare")


def test_download_once_then_take_the_file(tmp_path, monkeypatch, served):
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


def test_a_file_put_there_by_hand_needs_no_network(tmp_path, monkeypatch):
    os.mkdir("checkpoints")
    name = put(tmp_path / "run" / "checkpoints", "model")
    index(tmp_path, monkeypatch, tiny=f"http://127.0.0.1:9/{name}")
    assert resolve("mmdet://tiny").name == name


def test_processes_that_start_together_download_once(tmp_path, monkeypatch, served):
    folder, address, server = served
    name = put(folder, "model", os.urandom(1 << 20))
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(resolve, ["mmdet://tiny"] * 4))
    assert {path.name for path in paths} == {name}
    assert server.requests == [f"/{name}"]


@pytest.mark.parametrize("stem", ["cut", "absent"])
def test_a_failed_download_leaves_nothing_and_says_what_to_do(tmp_path, monkeypatch, served, stem):
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


def test_ctrl_c_leaves_nothing(tmp_path, monkeypatch, served):
    folder, address, _ = served
    name = put(folder, "model", os.urandom(1 << 20))
    index(tmp_path, monkeypatch, tiny=f"{address}/{name}")

    def interrupt(self, count):
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.hub.tqdm.update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        resolve("mmdet://tiny")
    assert os.listdir("checkpoints") == []


def test_without_network_the_error_has_url_place_and_switch(tmp_path, monkeypatch):
    index(tmp_path, monkeypatch, tiny="http://127.0.0.1:9/tiny-01234567.pth")
    with pytest.raises(UserError) as caught:
        resolve("mmdet://tiny")
    for part in ("http://127.0.0.1:9/tiny-01234567.pth", "checkpoints/tiny-01234567.pth", "--from-scratch"):
        assert part in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    os.mkdir("checkpoints")
    name = put(tmp_path / "run" / "checkpoints", "model")
    with open(f"checkpoints/{name}", "ab") as file:
        file.write(b"\0")
    index(tmp_path, monkeypatch, tiny=f"http://127.0.0.1:9/{name}")
    with pytest.raises(UserError, match=f"checkpoints/{name}: damaged"):
        resolve("mmdet://tiny")


def test_urls_and_paths_are_names_too(tmp_path, served):
    folder, address, _ = served
    name = put(folder, "model")
    assert resolve(f"{address}/{name}").as_posix() == f"checkpoints/{name}"
    assert resolve(str(folder / name)) == folder / name
