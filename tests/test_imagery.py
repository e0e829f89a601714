import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine, from_origin

from oil_storage.errors import UserError
from oil_storage.georeference import Georeference
from oil_storage.image_file import ImageHeader, read_header, vrt_sources
from oil_storage.imagery import ArrayImage, FileImage, Reading, open_scene, read_pixels

CACHE = 256
"""GDAL_CACHEMAX that oil_storage.image_file sets, MiB."""


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pixels_are_rgb_and_alpha_is_ignored(tmp_path: Path, suffix: str, bands: int) -> None:
    stored = noise(40, 50, bands)
    path = tmp_path / f"scene{suffix}"
    Image.fromarray(stored.squeeze()).save(path)
    assert read_header(path) == ImageHeader(50, 40, bands, 1, None)
    assert np.array_equal(read_pixels(path), np.broadcast_to(stored[..., :3], (40, 50, 3)))


def test_a_jpeg_is_decoded_like_in_opencv(tmp_path: Path) -> None:
    path = tmp_path / "scene.jpg"
    cv2.imwrite(str(path), cv2.GaussianBlur(noise(80, 60, 3), (5, 5), 0))
    assert np.array_equal(read_pixels(path), cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize("name", ["scene.jpg", "scene.png", "scene.tif"])
def test_a_truncated_image_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), noise(200, 200, 3))
    assert read_pixels(path).shape == (200, 200, 3)
    data = path.read_bytes()
    for share in (0.02, 0.5, 0.9):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(UserError, match=f"{name}: "):
            read_pixels(path)


@pytest.mark.parametrize("damage", ["overwritten", "removed", "cut and closed"])
def test_a_jpeg_damaged_in_the_middle_is_refused(tmp_path: Path, damage: str) -> None:
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
def test_a_miniswhite_tiff_is_inverted(tmp_path: Path, profile: dict[str, object]) -> None:
    stored = noise(1, 40, 50)
    write_tiff(tmp_path / "scene.tif", stored, photometric="MINISWHITE", **profile)
    assert np.array_equal(read_pixels(tmp_path / "scene.tif")[..., 0], 255 - stored[0])


@pytest.mark.parametrize("name", ["scene.png", "scene.tif"])
def test_a_one_bit_mask_is_refused(tmp_path: Path, name: str) -> None:
    Image.fromarray(noise(40, 50)).convert("1").save(tmp_path / name)
    with pytest.raises(UserError, match=r"scene\.\w+: 1 bit per pixel, probably a mask"):
        open_scene(tmp_path / name)


def test_four_bit_values_are_scaled_to_eight_bits(tmp_path: Path) -> None:
    stored = noise(1, 40, 50) % 16
    write_tiff(tmp_path / "scene.tif", stored, nbits=4)
    assert np.array_equal(read_pixels(tmp_path / "scene.tif")[..., 0], stored[0] * 17)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "scene.tif", noise(1, 40, 50).astype(np.complex64))
    with pytest.raises(UserError, match="complex numbers"):
        open_scene(tmp_path / "scene.tif")


def test_pages_are_refused_and_overviews_are_not_pages(tmp_path: Path) -> None:
    first, second = (Image.fromarray(noise(400, 500, 3) // share) for share in (1, 2))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    with pytest.raises(UserError, match="contains 2 images; save the image"):
        open_scene(tmp_path / "pages.tif")
    write_tiff(tmp_path / "scene.tif", noise(3, 400, 500), tiled=True)
    with rasterio.open(tmp_path / "scene.tif", "r+") as raster:
        raster.build_overviews([2, 4])
    assert open_scene(tmp_path / "scene.tif").width == 500


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 3])
def test_sixteen_bit_values_are_stretched_equally_in_all_formats(tmp_path: Path, suffix: str, bands: int) -> None:
    stored = noise(40, 50, bands, dtype=np.uint16) * 16 + 1000
    cv2.imwrite(str(tmp_path / f"scene{suffix}"), stored)
    scene = open_scene(tmp_path / f"scene{suffix}")
    assert scene.notes["stretched"] == "percentiles 2 and 98 of each band map to 0 and 255"
    low, high = np.percentile(stored[..., 0], (2, 98))
    expected = np.clip((stored[..., 0] - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(scene.read(np.array([0, 0, 50, 40]))[..., 2], expected, atol=1)


@pytest.mark.parametrize("fill", [0, 65535])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.985])
def test_a_stretch_ignores_the_fill_value(tmp_path: Path, share: float, fill: int) -> None:
    stored = noise(1, 100, 100).astype(np.uint16) * 10 + 2000
    stored[:, : int(100 * share)] = fill
    stored[0, int(100 * share), :50] = fill
    write_tiff(tmp_path / "mosaic.tif", stored)
    shown = read_pixels(tmp_path / "mosaic.tif")[..., 0]
    assert np.unique(shown[0]).tolist() == [255 if fill else 0]
    assert np.ptp(shown[99].astype(int)) > 240


def test_a_constant_band_is_refused(tmp_path: Path) -> None:
    stored = noise(3, 40, 50).astype(np.uint16)
    stored[1] = 7
    write_tiff(tmp_path / "scene.tif", stored)
    with pytest.raises(UserError, match=r"scene\.tif: band 2 has too few different values to be stretched; declare"):
        read_pixels(tmp_path / "scene.tif")


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("scene.jp2", {"driver": "JP2OpenJPEG", "REVERSIBLE": "YES", "QUALITY": "100"}),
        ("scene.img", {"driver": "HFA"}),
        ("scene.ntf", {"driver": "NITF", "ICORDS": "N"}),
    ],
)
def test_gis_formats_are_read_in_windows_with_their_place(tmp_path: Path, name: str, profile: dict[str, str]) -> None:
    stored, to_world = noise(3, 300, 400), Affine(2, 0, 595_000, 0, -2, 5_750_000)
    shape = {"count": 3, "height": 300, "width": 400, "dtype": "uint8", "crs": "EPSG:32631", "transform": to_world}
    with rasterio.open(tmp_path / name, "w", **shape, **profile) as raster:
        raster.write(stored)
    scene, expected = open_scene(tmp_path / name), np.moveaxis(stored, 0, 2)
    assert np.array_equal(scene.read(np.array([50, 100, 370, 290])), expected[100:290, 50:370])
    assert np.array_equal(read_pixels(tmp_path / name), expected)
    assert scene.reduced(100).shape == (75, 100, 3)
    assert scene.shows(np.array([0, 0, 10, 10]))
    assert scene.georeference is not None
    assert scene.georeference.crs in ("EPSG:32631", "EPSG:4326")
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20_000])
    with pytest.raises(UserError, match=f"{name}: cannot be"):
        read_pixels(tmp_path / name)


VRT = """<?xml version="1.0"?>
<VRTDataset rasterXSize="50" rasterYSize="40"><SRS>EPSG:32631</SRS><GeoTransform>0,2,0,0,0,-2</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">parts/a.tif</SourceFilename>
<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""


def test_a_vrt_is_read_through_its_sources(tmp_path: Path) -> None:
    path, source = tmp_path / "scene.vrt", tmp_path / "parts" / "a.tif"
    source.parent.mkdir()
    write_tiff(source, noise(1, 40, 50))
    path.write_text(VRT)
    assert np.array_equal(read_pixels(path)[..., 0], noise(1, 40, 50)[0])
    assert read_header(path).georeference == Georeference("EPSG:32631", (2, 0, 0, 0, -2, 0))
    assert vrt_sources(path) == [source]
    assert vrt_sources(source) == []
    source.unlink()
    with pytest.raises(UserError, match=r"scene\.vrt: cannot be decoded .*a\.tif"):
        read_pixels(path)


def test_the_orientation_of_a_jpeg_with_a_world_file_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "scene.jpg", exif=exif)
    assert read_header(tmp_path / "scene.jpg").width == 40
    (tmp_path / "scene.jgw").write_text("2\n0\n0\n-2\n1001\n1999\n")
    assert read_header(tmp_path / "scene.jpg").width == 60


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels upright as TIFF 6.0 describes the orientations."""
    turns = {2: (0, True), 3: (2, False), 4: (2, True), 5: (-1, True), 6: (-1, False), 7: (1, True), 8: (1, False)}
    quarters, mirrored = turns.get(orientation, (0, False))
    upright = np.rot90(stored, quarters)
    return upright[:, ::-1] if mirrored else upright


@pytest.mark.parametrize(
    ("name", "orientation"),
    [*(("scene.jpg", number) for number in range(1, 9)), ("scene.png", 5), ("scene.tif", 6), ("scene.tif", 8)],
)
def test_exif_orientation_is_applied_to_every_window(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    Image.fromarray(noise(40, 60, 3)).save(path, **({"tiffinfo": exif} if name.endswith("tif") else {"exif": exif}))
    with Image.open(path) as stored:
        expected = turned(np.asarray(Image.open(path)) if not name.endswith("tif") else noise(40, 60, 3), orientation)
        assert stored.format
    header, scene = read_header(path), open_scene(path)
    assert header.orientation == orientation
    assert (header.height, header.width) == (scene.height, scene.width) == expected.shape[:2]
    assert ("exif-rotated" in scene.notes) == (orientation != 1)
    assert np.array_equal(read_pixels(path), expected)
    assert np.array_equal(scene.read(np.array([3, 5, 23, 37])), expected[5:37, 3:23])
    assert np.array_equal(scene.reduced(100), expected)


def test_the_orientation_of_a_georeferenced_tiff_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    Image.fromarray(noise(40, 60, 3)).save(path, tiffinfo={0x0112: 6, 33550: (2.0, 2.0, 0.0), 33922: (0.0,) * 6})
    assert read_header(path).georeference is not None
    assert np.array_equal(read_pixels(path), noise(40, 60, 3))


WINDOW = np.array([3, 5, 23, 17])


def write_raster(path: Path, pixels: np.ndarray, **profile: object) -> Path:
    """Write ``(bands, H, W)`` as a tiled GeoTIFF."""
    bands, height, width = pixels.shape
    size = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype.name}
    georeference = {"crs": "EPSG:32631", "transform": from_origin(600_000, 5_700_000, 2, 2)}
    with rasterio.open(path, "w", driver="GTiff", **{**size, **georeference, **profile}) as raster:
        raster.write(pixels)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_windows_equal_parts_of_the_decoded_scene(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), noise(40, 50, 3))
    scene = open_scene(path)
    assert (scene.file_name, scene.width, scene.height) == (name, 50, 40)
    x1, y1, x2, y2 = WINDOW
    assert np.array_equal(scene.read(WINDOW), read_pixels(path)[y1:y2, x1:x2])
    assert scene.shows(WINDOW)


def test_cmyk_and_grey_images_are_converted_to_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (9, 8), (0, 255, 255, 0)).save(tmp_path / "ink.jpg")
    red = open_scene(tmp_path / "ink.jpg").read(np.array([0, 0, 9, 8]))
    assert red.shape == (8, 9, 3)
    assert red[..., 0].min() > 200
    assert red[..., 1:].max() < 60
    grey = open_scene(write_raster(tmp_path / "grey.tif", noise(1, 40, 50))).read(WINDOW)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert np.array_equal(open_scene(noise(8, 9)).read(np.array([0, 0, 9, 8]))[..., 1], noise(8, 9))


def test_bands_are_selected_by_colour_interpretation_or_number(tmp_path: Path) -> None:
    pixels = noise(6, 40, 50)
    path = write_raster(tmp_path / "many.tif", pixels)
    with pytest.raises(UserError, match=r"many\.tif: 6 bands; give red, green and blue with --bands"):
        open_scene(path)
    four = write_raster(tmp_path / "four.tif", pixels[:4], photometric="minisblack", alpha="no")
    with pytest.raises(UserError, match=r"four\.tif: 4 bands; give red, green and blue with --bands"):
        open_scene(four)
    with pytest.raises(UserError, match="no band 7; use bands 1 to 6"):
        open_scene(path, Reading(bands=(7, 2, 1)))
    x1, y1, x2, y2 = WINDOW
    chosen = open_scene(path, Reading(bands=(5, 3, 1))).read(WINDOW)
    assert np.array_equal(chosen, np.moveaxis(pixels[[4, 2, 0], y1:y2, x1:x2], 0, 2))
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [
            rasterio.enums.ColorInterp[name] for name in ["blue", "green", "red", "undefined", "undefined", "alpha"]
        ]
    chosen_by_name = open_scene(path).read(WINDOW)
    assert np.array_equal(chosen_by_name, np.moveaxis(pixels[[2, 1, 0], y1:y2, x1:x2], 0, 2))


@pytest.mark.parametrize("kind", ["more bits", "stretched", "negative", "palette"])
def test_opencv_can_draw_on_returned_pixels(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    if kind == "palette":
        Image.fromarray(noise(40, 50, 3)).quantize(16).save(path)
    elif kind == "negative":
        write_raster(path, noise(1, 40, 50), photometric="MINISWHITE")
    else:
        write_raster(path, noise(3, 40, 50, dtype=np.uint16 if kind == "more bits" else np.uint8))
    scene = open_scene(path, Reading(stretch=(2, 98)) if kind == "stretched" else Reading())
    for pixels in (scene.read(WINDOW), scene.reduced(100), scene.reduced(20)):
        assert pixels.flags.c_contiguous
        cv2.rectangle(pixels, (2, 2), (8, 8), (255, 0, 0))
        assert pixels[2, 2].tolist() == [255, 0, 0]


def test_palette_values_are_converted_to_colours(tmp_path: Path) -> None:
    image = Image.fromarray(noise(40, 50, 3)).quantize(16)
    for name in ("a.tif", "a.png"):
        image.save(tmp_path / name)
    assert np.array_equal(open_scene(tmp_path / "a.tif").read(WINDOW), open_scene(tmp_path / "a.png").read(WINDOW))
    with pytest.raises(UserError, match=r"a\.tif: a palette image cannot be stretched"):
        open_scene(tmp_path / "a.tif", Reading(stretch=(2, 98)))


def test_pixels_without_data_are_black(tmp_path: Path) -> None:
    pixels = noise(3, 40, 50).astype("float32")
    pixels[:, :, :25] = np.nan
    scene = open_scene(write_raster(tmp_path / "half.tif", pixels, nodata=np.nan))
    assert not scene.shows(np.array([0, 0, 25, 40]))
    assert scene.shows(np.array([0, 0, 26, 40]))
    assert scene.read(np.array([0, 0, 25, 40])).max() == 0
    assert scene.read(np.array([25, 0, 50, 40])).max() == 255


def test_open_scene_returns_an_array_or_a_file_image(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), noise(40, 50, 3))
    assert isinstance(open_scene(noise(40, 50, 3)), ArrayImage)
    raster = open_scene(write_raster(tmp_path / "a.tif", noise(3, 40, 50)))
    assert isinstance(raster, FileImage)
    assert raster.georeference is not None
    assert raster.georeference.crs == "EPSG:32631"


def test_a_truncated_raster_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "cut.tif", noise(3, 400, 500))
    path.write_bytes(path.read_bytes()[:100_000])
    scene = open_scene(path)
    with pytest.raises(UserError, match=r"cut\.tif: cannot be decoded"):
        scene.read(np.array([0, 380, 500, 400]))


# in a process of its own, whose GDAL has read nothing yet
READ_WHOLE = """
import sys
from pathlib import Path
from oil_storage.imagery import open_scene
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


@pytest.mark.slow
def test_memory_use_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    decoded = 1.7 * CACHE * 2**20
    side = int((decoded / 3) ** 0.5)
    size = {"count": 3, "height": side, "width": side, "dtype": "uint8"}
    with rasterio.open(tmp_path / "large.tif", "w", driver="GTiff", tiled=True, sparse_ok=True, **size):
        pass  # blocks that are not there are decoded, and kept, as any
    environment = {name: value for name, value in os.environ.items() if name != "GDAL_CACHEMAX"}
    command = [sys.executable, "-c", READ_WHOLE, str(tmp_path / "large.tif")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1.2 * CACHE
