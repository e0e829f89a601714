import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from oil_storage import image_file
from oil_storage.errors import UserError
from oil_storage.image_file import read_header
from oil_storage.imagery import open_scene, read_pixels
from tests.test_imagery import noise


@pytest.mark.parametrize("code", [50002, 65001])
def test_an_unknown_compression_is_refused_with_a_remedy(tmp_path: Path, code: int) -> None:
    path = tmp_path / "scene.tif"
    Image.fromarray(noise(40, 60, 3)).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HHI", 259, 3, 1))  # the tag of the compression
    content[at + 8 : at + 10] = struct.pack("<H", code)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"missing codec .*; replace it, or convert it: gdal_translate"):
        open_scene(path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scene.png"
    path.write_bytes(content)
    for read in (read_header, read_pixels):
        with pytest.raises(UserError, match=r"scene\.png: "):
            read(path)


def test_header_of_a_large_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.new("1", (20_000, 10_000)).save(path)
    assert read_header(path).width == 20_000


def test_an_impossible_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.new("L", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 2_000_000_000, 2_000_000_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"scene\.png: cannot be opened as an image \(libpng"):
        read_pixels(path)


def test_a_named_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scene.jpg")
    with pytest.raises(UserError, match=r"scene\.jpg: not a regular file"):
        read_header(tmp_path / "scene.jpg")


def test_image_that_is_decoded_as_a_whole_must_fit_in_the_free_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("scene.png", "scene.tif"):
        Image.fromarray(noise(40, 60, 3)).save(tmp_path / name)
    monkeypatch.setattr(image_file, "free_memory", lambda: 40 * 60 * 3)
    with pytest.raises(UserError, match=r"scene\.png: 60 x 40 px need .* GiB of memory"):
        read_header(tmp_path / "scene.png")
    assert read_header(tmp_path / "scene.tif").width == 60
