import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from oil_storage.errors import UserError
from oil_storage.imagery import read_pixels
from oil_storage.inference.scene_image import RASTER_CACHE, DecodedImage, RasterImage, open_scene

WINDOW = np.array([3, 5, 23, 17])


def write_raster(path: Path, pixels: np.ndarray, **profile: object) -> Path:
    """Write ``(bands, H, W)`` as a tiled GeoTIFF."""
    bands, height, width = pixels.shape
    size = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype.name}
    place = {"crs": "EPSG:32631", "transform": from_origin(600_000, 5_700_000, 2, 2)}
    with rasterio.open(path, "w", driver="GTiff", **{**size, **place, **profile}) as raster:
        raster.write(pixels)
    return path


def noise(*shape: int, top: int = 256, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_windows_are_those_of_the_decoded_scene(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), noise(40, 50, 3))
    scene = open_scene(path)
    assert (scene.file_name, scene.width, scene.height) == (name, 50, 40)
    x1, y1, x2, y2 = WINDOW
    assert np.array_equal(scene.read(WINDOW), read_pixels(path)[y1:y2, x1:x2])
    assert scene.shows(WINDOW)


def test_cmyk_and_grey_become_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (9, 8), (0, 255, 255, 0)).save(tmp_path / "ink.jpg")
    red = open_scene(tmp_path / "ink.jpg").read(np.array([0, 0, 9, 8]))
    assert red.shape == (8, 9, 3)
    assert red[..., 0].min() > 200
    assert red[..., 1:].max() < 60
    grey = open_scene(write_raster(tmp_path / "grey.tif", noise(1, 40, 50))).read(WINDOW)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert np.array_equal(open_scene(noise(8, 9)).read(np.array([0, 0, 9, 8]))[..., 1], noise(8, 9))


def test_bands_are_found_by_their_colours_or_must_be_named(tmp_path: Path) -> None:
    pixels = noise(6, 40, 50)
    path = write_raster(tmp_path / "many.tif", pixels)
    with pytest.raises(UserError, match=r"many\.tif: 6 bands; say which are red, green and blue with --bands"):
        open_scene(path)
    four = write_raster(tmp_path / "four.tif", pixels[:4], photometric="minisblack", alpha="no")
    with pytest.raises(UserError, match=r"four\.tif: 4 bands; say which are red, green and blue with --bands"):
        open_scene(four)
    with pytest.raises(UserError, match="has no band 7; there are 1 to 6"):
        open_scene(path, bands=(7, 2, 1))
    x1, y1, x2, y2 = WINDOW
    chosen = open_scene(path, bands=(5, 3, 1)).read(WINDOW)
    assert np.array_equal(chosen, np.moveaxis(pixels[[4, 2, 0], y1:y2, x1:x2], 0, 2))
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [
            rasterio.enums.ColorInterp[name] for name in ["blue", "green", "red", "undefined", "undefined", "alpha"]
        ]
    found = open_scene(path).read(WINDOW)
    assert np.array_equal(found, np.moveaxis(pixels[[2, 1, 0], y1:y2, x1:x2], 0, 2))


def test_more_than_eight_bits_are_stretched(tmp_path: Path) -> None:
    pixels = noise(3, 40, 50, top=4000, dtype="uint16") + 1000
    path = write_raster(tmp_path / "deep.tif", pixels)
    low, high = np.percentile(pixels[1], (2, 98))
    x1, y1, x2, y2 = WINDOW
    expected = np.clip((pixels[1, y1:y2, x1:x2] - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(open_scene(path).read(WINDOW)[..., 1], expected, atol=1)
    whole = open_scene(path, stretch=(0, 100)).read(np.array([0, 0, 50, 40]))
    assert (whole.min(), whole.max()) == (0, 255)
    cv2.imwrite(str(tmp_path / "deep.png"), np.moveaxis(pixels, 0, 2)[..., ::-1])
    assert np.array_equal(open_scene(tmp_path / "deep.png").read(WINDOW), open_scene(path).read(WINDOW))


@pytest.mark.parametrize("kind", ["more bits", "stretched", "negative", "palette"])
def test_whatever_was_read_can_be_drawn_on(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    if kind == "palette":
        Image.fromarray(noise(40, 50, 3)).quantize(16).save(path)
    elif kind == "negative":
        write_raster(path, noise(1, 40, 50), photometric="MINISWHITE")
    else:
        write_raster(path, noise(3, 40, 50, dtype="uint16" if kind == "more bits" else "uint8"))
    scene = open_scene(path, stretch=(2, 98) if kind == "stretched" else None)
    for pixels in (scene.read(WINDOW), scene.reduced(100), scene.reduced(20)):
        assert pixels.flags.c_contiguous
        cv2.rectangle(pixels, (2, 2), (8, 8), (255, 0, 0))
        assert pixels[2, 2].tolist() == [255, 0, 0]


def test_colours_of_a_palette_are_colours(tmp_path: Path) -> None:
    image = Image.fromarray(noise(40, 50, 3)).quantize(16)
    for name in ("a.tif", "a.png"):
        image.save(tmp_path / name)
    assert np.array_equal(open_scene(tmp_path / "a.tif").read(WINDOW), open_scene(tmp_path / "a.png").read(WINDOW))
    with pytest.raises(UserError, match=r"a\.tif: has the colours of a palette, which --stretch does not change"):
        open_scene(tmp_path / "a.tif", stretch=(2, 98))


def test_what_is_written_as_a_negative_is_seen_as_a_positive(tmp_path: Path) -> None:
    pixels = noise(1, 40, 50)
    positive = open_scene(write_raster(tmp_path / "a.tif", pixels)).read(WINDOW)
    negative = open_scene(write_raster(tmp_path / "b.tif", 255 - pixels, photometric="MINISWHITE")).read(WINDOW)
    assert np.array_equal(positive, negative)


def test_what_has_no_data_is_dark_and_shows_nothing(tmp_path: Path) -> None:
    pixels = noise(3, 40, 50).astype("float32")
    pixels[:, :, :25] = np.nan
    scene = open_scene(write_raster(tmp_path / "half.tif", pixels, nodata=np.nan))
    assert not scene.shows(np.array([0, 0, 25, 40]))
    assert scene.shows(np.array([0, 0, 26, 40]))
    assert scene.read(np.array([0, 0, 25, 40])).max() == 0
    assert scene.read(np.array([25, 0, 50, 40])).max() == 255


def test_kinds_of_scenes(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), noise(40, 50, 3))
    assert isinstance(open_scene(tmp_path / "a.jpg"), DecodedImage)
    raster = open_scene(write_raster(tmp_path / "a.tif", noise(3, 40, 50)))
    assert isinstance(raster, RasterImage)
    assert raster.georeference is not None
    assert raster.georeference.crs == "EPSG:32631"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tif", b"no image", r"a\.tif: not a TIFF that can be opened"),
        ("a.png", b"no image", r"a\.png: not an image that can be opened"),
        ("a.txt", b"no image", r"a\.txt: not an image; scenes end in \.jpg"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        open_scene(tmp_path / name)


def test_a_truncated_raster_is_named_where_it_is_read(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "cut.tif", noise(3, 400, 500))
    path.write_bytes(path.read_bytes()[:100_000])
    scene = open_scene(path)
    with pytest.raises(UserError, match=r"cut\.tif: cannot be decoded"):
        scene.read(np.array([0, 380, 500, 400]))


# in a process of its own, whose GDAL has read nothing yet
READ_WHOLE = """
import sys
from pathlib import Path
from oil_storage.inference.scene_image import open_scene
from oil_storage.tiling import tile_grid

def resident():  # MiB; what getrusage says begins at the memory of the parent
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024

scene = open_scene(Path(sys.argv[1]))
windows = tile_grid(scene.width, scene.height, 1024, 0)
scene.read(windows[0])
before = resident()
for window in windows:
    scene.read(window)
print(resident() - before)
"""


def test_memory_of_reading_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    decoded = 1.7 * RASTER_CACHE * 2**20
    side = int((decoded / 3) ** 0.5)
    size = {"count": 3, "height": side, "width": side, "dtype": "uint8"}
    with rasterio.open(tmp_path / "large.tif", "w", driver="GTiff", tiled=True, sparse_ok=True, **size):
        pass  # blocks that are not there are decoded, and kept, as any
    environment = {name: value for name, value in os.environ.items() if name != "GDAL_CACHEMAX"}
    command = [sys.executable, "-c", READ_WHOLE, str(tmp_path / "large.tif")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1.2 * RASTER_CACHE
