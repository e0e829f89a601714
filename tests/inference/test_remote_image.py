from pathlib import Path

import cv2
import numpy as np
import pytest

from oil_storage.errors import UserError
from oil_storage.imagery import FileImage, Reading
from oil_storage.inference import remote_image
from oil_storage.inference.remote_image import RemoteImage
from oil_storage.inference.scene_asset import SceneAsset
from tests.range_server import RangeServer

WHOLE = np.array([0, 0, 1024, 1024])
CORNER = np.array([130, 260, 250, 380])
"""A window in one block of the COG."""


def asset_of(server: RangeServer, name: str = "cog.tif") -> SceneAsset:
    return SceneAsset(f"{server.url}/{name}", "scene")


def test_remote_scene_has_the_pixels_and_the_place_of_the_file(server: RangeServer, www: Path) -> None:
    remote, local = RemoteImage(asset_of(server)), FileImage(www / "cog.tif")
    assert (remote.width, remote.height, remote.georeference) == (local.width, local.height, local.georeference)
    assert remote.georeference is not None
    assert remote.file_name == "scene.tif"
    assert np.array_equal(remote.read(WHOLE), local.read(WHOLE))
    assert remote.shows(CORNER)


def test_window_is_read_without_the_rest_of_the_file(server: RangeServer, www: Path) -> None:
    asset = asset_of(server)
    image = RemoteImage(asset)
    image.read(CORNER)
    sent = server.sent["/cog.tif"]
    assert asset.bytes_read() == sent
    assert asset.size == (www / "cog.tif").stat().st_size
    assert sent < 0.06 * asset.size + 3 * 2**14  # a block is 1/64 of the pixels; GDAL requests pieces of 16 KiB
    # GDAL neither lists the folder nor looks for other files
    assert {path for _, path, _ in server.requests} == {"/cog.tif"}


def test_scene_at_a_coarser_scale_is_read_from_the_overviews(server: RangeServer, www: Path) -> None:
    asset = asset_of(server)
    image = RemoteImage(asset)
    pixels = image.read(WHOLE, (200, 200))
    assert pixels.shape == (200, 200, 3)
    assert asset.size is not None
    assert asset.bytes_read() < 0.15 * asset.size
    expected = cv2.resize(FileImage(www / "cog.tif").read(WHOLE), (200, 200), interpolation=cv2.INTER_AREA)
    assert np.abs(pixels.astype(int) - expected).mean() < 4
    assert image.read(WHOLE, (1000, 1000)).shape == (1024, 1024, 3)  # no overview is detailed enough


@pytest.mark.parametrize("fault", ["drops", "fails"])
@pytest.mark.parametrize("spared", range(6))
def test_scene_is_read_although_connections_are_dropped(
    server: RangeServer, www: Path, fault: str, spared: int
) -> None:
    server.spared = spared
    setattr(server, fault, 2)
    image = RemoteImage(asset_of(server))
    assert np.array_equal(image.read(WHOLE), FileImage(www / "cog.tif").read(WHOLE))
    assert image.georeference is not None


@pytest.mark.parametrize("fault", ["drops", "fails"])
def test_lasting_failure_gives_one_line_with_the_remedy(server: RangeServer, fault: str) -> None:
    image = RemoteImage(asset_of(server))
    setattr(server, fault, 10_000)
    with pytest.raises(UserError) as caught:
        image.read(WHOLE)
    message = str(caught.value)
    assert message.startswith(f"{server.url}/cog.tif: cannot be read in 4 attempts (")
    assert message.endswith("run the command again later, or download the file")
    assert "vsicurl" not in message
    server.drops = server.fails = 0
    assert image.read(WHOLE).shape == (1024, 1024, 3)


def test_unsupported_scenes_are_refused_without_reading_them(server: RangeServer) -> None:
    for name, words in (
        ("none.tif", r"no such file on the server \(HTTP 404\)"),
        ("page.html", "not a TIFF"),
    ):
        with pytest.raises(UserError, match=words):
            RemoteImage(asset_of(server, name))
    assert len(server.requests) == 2
    with pytest.raises(UserError, match="no band 4"):
        RemoteImage(asset_of(server), Reading(bands=(4, 2, 1)))


def test_server_without_ranges_is_refused(server: RangeServer) -> None:
    server.has_ranges = False
    with pytest.raises(UserError, match=r"cog\.tif: the server sends only whole files \(no range requests\); download"):
        RemoteImage(asset_of(server))
    assert len(server.requests) == 1


def test_large_file_is_refused_if_it_is_not_tiled(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RemoteImage(asset_of(server, "strips.tif")).width == 1024
    monkeypatch.setattr(remote_image, "LARGEST_UNTILED", 2**20)
    with pytest.raises(UserError, match=r"strips\.tif: is not tiled, .* gdal_translate -of COG"):
        RemoteImage(asset_of(server, "strips.tif"))
    assert RemoteImage(asset_of(server)).width == 1024
    assert server.sent["/strips.tif"] < 2**18


def test_server_that_refuses_requests_for_headers_is_read_by_a_signed_url(server: RangeServer, www: Path) -> None:
    server.has_head = False
    asset = asset_of(server, "cog.tif?signature=x")
    image = RemoteImage(asset)
    assert np.array_equal(image.read(CORNER), FileImage(www / "cog.tif").read(CORNER))
    assert asset.bytes_read() < (www / "cog.tif").stat().st_size / 4
