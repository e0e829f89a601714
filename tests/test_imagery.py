from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

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
    assert read_header(path) == ImageHeader(50, 40, bands, True, 1)
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


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_sixteen_bits_are_seen(tmp_path: Path, suffix: str, bands: int) -> None:
    path = tmp_path / f"scene{suffix}"
    cv2.imwrite(str(path), noise(40, 50, bands, dtype=np.uint16))
    assert not read_header(path).is_eight_bit


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
