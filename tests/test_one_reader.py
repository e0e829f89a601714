"""Check that training and detection read the same pixels of every type of raster, or raise the same error."""

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image

from oil_storage.errors import UserError
from oil_storage.imagery import Reading
from oil_storage.inference.magnification import Magnification
from oil_storage.inference.tile_detector import Prepared
from oil_storage.inference.tile_reader import Batch, TileReader
from oil_storage.manifest import Choices
from oil_storage.preparation.prepare import prepare

SIDE = 64
RGB = np.stack([np.add.outer(np.arange(SIDE) * a, np.arange(SIDE) * b) % 256 for a, b in ((1, 2), (3, 1), (2, 3))])
RGB = (RGB // 2 + np.random.default_rng(0).integers(0, 64, RGB.shape)).astype(np.uint8)
PIXELS = np.ascontiguousarray(np.moveaxis(RGB, 0, 2))
DEEP = RGB.astype(np.uint16) * 11 + 300
NIR = np.concatenate([RGB, RGB[:1]])


def gdal(pixels: np.ndarray, colours: str = "", mask: np.ndarray | None = None, **profile: Any) -> Any:
    """Return a function that writes ``(bands, H, W)`` as a TIFF with GDAL."""

    def write(path: Path) -> None:
        shape = {"count": len(pixels), "height": SIDE, "width": SIDE, "dtype": pixels.dtype.name}
        with rasterio.open(path, "w", driver="GTiff", **{**shape, **profile}) as raster:
            if colours:
                raster.colorinterp = [rasterio.enums.ColorInterp[name] for name in colours.split()]
            raster.write(pixels)
            if mask is not None:
                raster.write_mask(mask)

    return write


def pillow(mode: str = "RGB", pixels: np.ndarray = PIXELS, **options: Any) -> Any:
    """Return a function that writes an image with Pillow."""
    return lambda path: Image.fromarray(pixels).convert(mode).save(path, **options)


def palette(**options: Any) -> Any:
    return lambda path: Image.fromarray(PIXELS).quantize(32).save(path, **options)


def turned(orientation: int) -> Any:
    def write(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        key = "tiffinfo" if path.suffix == ".tif" else "exif"
        Image.fromarray(PIXELS).save(path, **{key: exif})

    return write


def deep_png(path: Path) -> None:
    cv2.imwrite(str(path), np.moveaxis(DEEP, 0, 2))


def unknown_compression(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HHI", 259, 3, 1))
    content[at + 8 : at + 10] = struct.pack("<H", 50002)
    path.write_bytes(content)


def damaged_exif(path: Path) -> None:
    Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0" + bytes(64))


def big_and_big_endian(path: Path) -> None:
    gdal(RGB, photometric="RGB", BIGTIFF="YES", ENDIANNESS="BIG")(path)


def huge(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)
    content = bytearray(path.read_bytes())
    for tag in (256, 257):  # width and height
        at = content.index(struct.pack("<HHI", tag, 4, 1))
        content[at + 8 : at + 12] = struct.pack("<I", 2_000_000_000)
    path.write_bytes(content)


def frames(path: Path) -> None:
    first, second = (Image.fromarray(pixels).quantize(32) for pixels in (PIXELS, 255 - PIXELS))
    first.save(path, format="GIF", save_all=True, append_images=[second])


def truncated(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def pages(path: Path) -> None:
    Image.fromarray(PIXELS).save(path, save_all=True, append_images=[Image.fromarray(PIXELS)])


BLOCKS = {"tiled": True, "blockxsize": 16, "blockysize": 32}
HALF = np.repeat([[0, 255]], SIDE, axis=0).repeat(SIDE // 2, axis=1).astype(np.uint8)
HOLES = np.where(HALF, DEEP, 0).astype(np.uint16)

READ = {
    "jpeg.jpg": pillow(),
    "jpeg_grey.jpg": pillow("L"),
    "jpeg_cmyk.jpg": pillow("CMYK"),
    "jpeg_progressive.jpg": pillow(progressive=True),
    "jpeg_that_is_a_png.jpg": pillow(format="PNG"),
    "jpeg_that_is_a_webp.jpg": pillow(format="WEBP"),
    "png.png": pillow(),
    "png_grey.png": pillow("L"),
    "png_grey_alpha.png": pillow("LA"),
    "png_alpha.png": pillow("RGBA"),
    "png_palette.png": palette(),
    "png_palette_alpha.png": palette(transparency=0),
    "png_16_bits.png": deep_png,
    "png_turned.png": turned(5),
    "jpeg_turned.jpg": turned(6),
    "tiff_turned.tif": turned(8),
    "strips.tif": gdal(RGB, photometric="RGB", blockysize=5),
    "blocks.tif": gdal(RGB, photometric="RGB", **BLOCKS),
    "planes.tif": gdal(RGB, photometric="RGB", interleave="band"),
    "big.tif": gdal(RGB, photometric="RGB", BIGTIFF="YES"),
    "big_and_big_endian.tif": big_and_big_endian,
    "damaged_exif.jpg": damaged_exif,
    "big_endian.tif": gdal(RGB, photometric="RGB", ENDIANNESS="BIG"),
    "grey.tif": gdal(RGB[:1]),
    "grey_4_bits.tif": gdal(RGB[:1] % 16, nbits=4),
    "white_is_zero.tif": gdal(RGB[:1], photometric="MINISWHITE"),
    "alpha.tif": gdal(np.concatenate([RGB, HALF[None]]), photometric="RGB", alpha="yes"),
    "palette.tif": palette(),
    "palette_16_bits.tif": gdal(RGB[:1].astype(np.uint16) * 100, photometric="PALETTE"),
    "cmyk.tif": pillow("CMYK"),
    "ycbcr_jpeg.tif": gdal(RGB, photometric="YCBCR", compress="jpeg", **BLOCKS),
    "jpeg_in_tiff.tif": gdal(RGB, photometric="RGB", compress="jpeg"),
    "lzw.tif": gdal(RGB, photometric="RGB", compress="lzw", predictor=2),
    "deflate.tif": gdal(RGB, photometric="RGB", compress="deflate"),
    "packbits.tif": gdal(RGB, photometric="RGB", compress="packbits"),
    "lzma.tif": gdal(RGB, photometric="RGB", compress="lzma"),
    "zstd.tif": gdal(RGB, photometric="RGB", compress="zstd"),
    "webp.tif": gdal(RGB, photometric="RGB", compress="webp", webp_lossless=True),
    "lerc.tif": gdal(RGB, photometric="RGB", compress="lerc"),
    "lerc_zstd.tif": gdal(RGB, photometric="RGB", compress="lerc_zstd"),
    "bgr.tif": gdal(RGB[::-1], "blue green red"),
    "bgr_nir.tif": gdal(NIR[[2, 1, 0, 3]], "blue green red undefined"),
    "signed_bytes.tif": gdal((RGB.astype(int) - 128).astype(np.int8)),
    "16_bits.tif": gdal(DEEP, photometric="RGB"),
    "16_bits_signed.tif": gdal(DEEP.astype(np.int16) - 1000),
    "16_bits_white_is_zero.tif": gdal(DEEP[:1], photometric="MINISWHITE"),
    "16_bits_fill.tif": gdal(HOLES, photometric="RGB"),
    "16_bits_nodata.tif": gdal(HOLES, photometric="RGB", nodata=0),
    "12_bits.tif": gdal(DEEP, photometric="RGB", nbits=12),
    "32_bits.tif": gdal(DEEP.astype(np.uint32) * 1000),
    "float.tif": gdal(DEEP.astype(np.float32) / 4096),
    "double.tif": gdal(DEEP.astype(np.float64) / 4096),
    "float_nan.tif": gdal(np.where(HALF, DEEP, np.nan).astype(np.float32)),
    "inner_mask.tif": gdal(RGB, mask=HALF, photometric="RGB"),
    "nodata.tif": gdal(RGB, photometric="RGB", nodata=0),
}
REFUSED = {
    "one_bit.tif": (gdal(RGB[:1] % 2, nbits=1), "1 bit per pixel"),
    "one_bit.png": (pillow("1"), "1 bit per pixel"),
    "complex.tif": (gdal(RGB[:1].astype(np.complex64)), "complex numbers"),
    "pages.tif": (pages, "contains 2 images"),
    "frames.png": (frames, "contains 2 images"),
    "huge.tif": (huge, "2000000000"),
    "cmyk_turned.tif": (pillow("CMYK", tiffinfo={0x0112: 6}), "CMYK TIFF that is stored rotated or mirrored; save"),
    "four_bands.tif": (gdal(NIR, photometric="MINISBLACK", alpha="no"), "4 bands; give red, green and blue"),
    "six_bands.tif": (gdal(np.concatenate([RGB, RGB])), "6 bands; give red, green and blue"),
    "unknown_compression.tif": (unknown_compression, "missing codec"),
    "constant.tif": (gdal(np.full((1, SIDE, SIDE), 7, np.uint16)), "band 1 has too few different values"),
    "truncated.png": (truncated, "cannot be decoded"),
    "truncated.jpg": (truncated, "cannot be decoded"),
    "truncated.tif": (truncated, "cannot be decoded"),
    "text.tif": (lambda path: path.write_text("no image"), "cannot be opened as an image"),
}
BY_NUMBER = {
    "named_four_bands.tif": gdal(NIR, photometric="MINISBLACK", alpha="no"),
    "named_six_bands.tif": gdal(np.concatenate([RGB, RGB])),
    "named_16_bits.tif": gdal(DEEP),
}
"""Rasters that are read with ``--bands 3,2,1 --stretch 5,95``."""
NAMED = {name: name.replace(".", "_") + Path(name).suffix for name in (*READ, *REFUSED, *BY_NUMBER)}
"""File names that differ in more than their suffix, as scenes of one folder must."""


def seen_in_training(folder: Path, writers: dict[str, Any], choices: Choices) -> dict[str, np.ndarray | str]:
    """Prepare rasters; return the pixels of each one's tile, BGR, or why it was refused."""
    (folder / "source" / "images").mkdir(parents=True)
    for name, write in writers.items():
        write(folder / "source" / "images" / NAMED[name])
    for name in ("train", "test"):
        pillow()(folder / "source" / "images" / f"the_{name}.png")
    files = sorted((folder / "source" / "images").iterdir())
    images = [{"id": number, "file_name": path.name} for number, path in enumerate(files)]
    box = {"category_id": 1, "bbox": [8, 8, 20, 20], "iscrowd": 0}
    content = {
        "images": [{**image, "width": SIDE, "height": SIDE} for image in images],
        "annotations": [{**box, "id": image["id"], "image_id": image["id"]} for image in images],
        "categories": [{"id": 1, "name": "oil-storage-tank"}],
    }
    (folder / "source" / "annotations.json").write_text(json.dumps(content))
    prepared = prepare(folder / "source", folder / "out", SIDE, 0, choices=choices)
    problems = {
        Path(finding.place).name: finding.problem for finding in prepared.findings if finding.severity == "error"
    }
    tiles = {path.name[: -len("_0_0.png")]: path for path in (folder / "out").glob("tiles/*/*/*.png")}
    return {
        name: cv2.imread(str(tiles[Path(file).stem])) if Path(file).stem in tiles else problems[file]
        for name, file in NAMED.items()
        if name in writers
    }


def seen_in_detection(folder: Path, writers: dict[str, Any], reading: Reading) -> dict[str, np.ndarray | str]:
    """Read rasters as detection does; return the pixels of each one's tile, BGR, or why it was refused."""

    def prepare(pixels: np.ndarray) -> Prepared:
        return Prepared((pixels.shape[1], pixels.shape[0]), pixels[..., ::-1])

    paths = [folder / "source" / "images" / NAMED[name] for name in writers]
    seen: list[np.ndarray | str] = []
    tile: np.ndarray | None = None
    for item in TileReader(prepare, SIDE, 0, lambda *_: Magnification(), 1, reading).read(paths):
        if isinstance(item, Batch):
            ((_, tile),) = item.tiles
        elif isinstance(item.result, UserError):
            seen.append(str(item.result).removeprefix(f"{item.source}: "))
        else:
            assert tile is not None
            seen.append(tile)
    return dict(zip(writers, seen, strict=True))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray | str, np.ndarray | str]]:
    """Return what training and detection see of each raster."""
    results = {}
    for number, (writers, reading) in enumerate(
        (
            ({**READ, **{name: write for name, (write, _) in REFUSED.items()}}, Reading()),
            (BY_NUMBER, Reading((3, 2, 1), (5.0, 95.0))),
        )
    ):
        folder = tmp_path_factory.mktemp(f"rasters_{number}")
        split = {"train": ["the_train"], "test": ["the_test"]}
        refused = [Path(NAMED[name]).stem for name in REFUSED]
        split["val"] = [stem for name in writers if (stem := Path(NAMED[name]).stem) not in refused]
        (folder / "split.json").write_text(json.dumps(split))
        choices = Choices(allow=True, split_file=folder / "split.json", bands=reading.bands, stretch=reading.stretch)
        training = seen_in_training(folder, writers, choices)
        detection = seen_in_detection(folder, writers, reading)
        results |= {name: (training[name], detection[name]) for name in writers}
    return results


@pytest.mark.slow
def test_training_and_detection_read_the_same_pixels(seen: dict[str, tuple[Any, Any]]) -> None:
    for name in (*READ, *BY_NUMBER):
        training, detection = seen[name]
        assert not isinstance(training, str), training
        assert not isinstance(detection, str), detection
        assert training.shape == (SIDE, SIDE, 3), name
        assert training.std() > 10, name
        assert np.array_equal(training, detection), name


def test_training_and_detection_raise_the_same_errors(seen: dict[str, tuple[Any, Any]]) -> None:
    for name, (_, words) in REFUSED.items():
        training, detection = seen[name]
        assert isinstance(training, str), name
        assert words in training
        assert training == detection


LOSSLESS = [
    name
    for name in READ
    if name.startswith(("strips", "blocks", "planes", "big", "bgr", "lz", "def", "pack", "zs", "webp", "lerc", "png."))
]


def test_lossless_images_keep_their_colours(seen: dict[str, tuple[Any, Any]]) -> None:
    assert len(LOSSLESS) >= 15
    for name in LOSSLESS:
        assert np.array_equal(seen[name][0], PIXELS[..., ::-1]), name
