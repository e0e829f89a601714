import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine

from oil_storage.errors import UserError
from oil_storage.imagery import ImageHeader, read_header, read_pixels


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pixels_come_as_rgb_and_alpha_changes_none(tmp_path: Path, suffix: str, bands: int) -> None:
    stored = noise(40, 50, bands)
    path = tmp_path / f"scene{suffix}"
    Image.fromarray(stored.squeeze()).save(path)
    assert read_header(path) == ImageHeader(50, 40, bands, None, 1)
    assert np.array_equal(read_pixels(path), np.broadcast_to(stored[..., :3], (40, 50, 3)))


def test_jpeg_is_decoded_as_opencv_decodes_it(tmp_path: Path) -> None:
    path = tmp_path / "scene.jpg"
    cv2.imwrite(str(path), cv2.GaussianBlur(noise(80, 60, 3), (5, 5), 0))
    assert np.array_equal(read_pixels(path), cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize("name", ["scene.jpg", "scene.png", "scene.tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_part_of_an_image_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), noise(200, 200, 3))
    assert read_pixels(path).shape == (200, 200, 3)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=f"{name}: "):
        read_pixels(path)


@pytest.mark.parametrize("damage", ["overwritten", "removed", "cut and closed"])
def test_a_jpeg_that_is_damaged_in_the_middle_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scene.jpg"
    cv2.imwrite(str(path), cv2.GaussianBlur(noise(400, 400, 3), (5, 5), 0))
    data, middle = path.read_bytes(), path.stat().st_size // 2
    rest = {
        "overwritten": bytes(2000) + data[middle + 2000 :],
        "removed": data[middle + 2000 :],
        "cut and closed": b"\xff\xd9",
    }
    path.write_bytes(data[:middle] + rest[damage])
    with pytest.raises(UserError, match=r"scene\.jpg: cannot be decoded"):
        read_pixels(path)


def test_grey_and_cmyk_jpegs_are_read(tmp_path: Path) -> None:
    stored = cv2.GaussianBlur(noise(80, 60, 3), (9, 9), 0)
    for mode in ("L", "CMYK"):
        image = Image.fromarray(stored).convert(mode)
        image.save(tmp_path / "scene.jpg", quality=100, subsampling=0)
        difference = read_pixels(tmp_path / "scene.jpg").astype(int) - np.asarray(image.convert("RGB"))
        assert np.abs(difference).max() <= 4


def write_tiff(path: Path, pixels: np.ndarray, **profile: object) -> None:
    """Write ``(bands, H, W)`` with GDAL, which writes what Pillow does not."""
    bands, height, width = pixels.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", transform=Affine.scale(2, -2), **shape, **profile) as raster:
        raster.write(pixels)


@pytest.mark.parametrize("profile", [{}, {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16}])
def test_a_tiff_whose_zero_is_white_is_turned(tmp_path: Path, profile: dict[str, object]) -> None:
    stored = noise(1, 40, 50)
    write_tiff(tmp_path / "scene.tif", stored, photometric="MINISWHITE", **profile)
    assert read_header(tmp_path / "scene.tif").unfit is None
    assert np.array_equal(read_pixels(tmp_path / "scene.tif")[..., 0], 255 - stored[0])


@pytest.mark.parametrize(
    ("pixels", "profile", "words"),
    [
        (noise(1, 40, 50).astype(np.int8), {}, "signed bytes"),
        (noise(3, 40, 50).astype(np.int8), {}, "signed bytes"),
        (noise(3, 40, 50).astype(np.float32), {}, "more than 8 bits"),
        (noise(5, 40, 50), {}, "5 bands; save red, green and blue"),
        (noise(1, 40, 50) % 2, {"nbits": 1}, "1 bit a pixel"),
    ],
)
def test_a_tiff_that_would_be_read_wrongly_is_told(
    tmp_path: Path, pixels: np.ndarray, profile: dict[str, object], words: str
) -> None:
    write_tiff(tmp_path / "scene.tif", pixels, **profile)
    header = read_header(tmp_path / "scene.tif")
    assert words in str(header.unfit)
    assert (header.width, header.height, header.bands) == (50, 40, len(pixels))


def test_pages_are_told_and_overviews_are_none(tmp_path: Path) -> None:
    first, second = (Image.fromarray(noise(400, 500, 3) // share) for share in (1, 2))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    assert "2 pages" in str(read_header(tmp_path / "pages.tif").unfit)
    write_tiff(tmp_path / "scene.tif", noise(3, 400, 500), tiled=True)
    with rasterio.open(tmp_path / "scene.tif", "r+") as raster:
        raster.build_overviews([2, 4])
    assert read_header(tmp_path / "scene.tif") == ImageHeader(500, 400, 3, None, 1)


def test_a_mask_is_told(tmp_path: Path) -> None:
    Image.fromarray(noise(40, 50)).convert("1").save(tmp_path / "scene.png")
    assert "1 bit" in str(read_header(tmp_path / "scene.png").unfit)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_sixteen_bits_are_seen(tmp_path: Path, suffix: str, bands: int) -> None:
    path = tmp_path / f"scene{suffix}"
    cv2.imwrite(str(path), noise(40, 50, bands, dtype=np.uint16))
    assert "8 bits" in str(read_header(path).unfit)


def test_exif_is_told_and_turns_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "scene.png"
    stored = noise(40, 50, 3)
    Image.fromarray(stored).save(path, exif=exif)
    assert read_header(path).orientation == 6
    assert np.array_equal(read_pixels(path), stored)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scene.png"
    path.write_bytes(content)
    for read in (read_header, read_pixels):
        with pytest.raises(UserError, match=r"scene\.png: "):
            read(path)


def test_no_scene_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.new("1", (20_000, 10_000)).save(path)
    assert read_header(path).width == 20_000


def test_pixels_that_no_memory_holds_are_said(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.new("L", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 2_000_000_000, 2_000_000_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(UserError, match="do not fit into memory"):
        read_pixels(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scene.jpg")
    with pytest.raises(UserError, match="named pipe"):
        read_header(tmp_path / "scene.jpg")
