from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin

from oil_storage.imagery import FileImage
from oil_storage.inference.scene_window import SceneWindow

WINDOW = np.array([100, 60, 300, 190])
PART = np.array([10, 20, 74, 84])
CORNER = np.array([100, 60, 100, 60])


def write(path: Path, pixels: np.ndarray, overviews: bool = False) -> FileImage:
    """Write a scene of 400 x 300 px; the first half of its columns is dark."""
    place = {"crs": "EPSG:32631", "transform": from_origin(595_000, 5_750_000, 1.2, 1.2)}
    shape = {"width": 400, "height": 300, "count": 3, "dtype": pixels.dtype, "photometric": "RGB", "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", blockxsize=64, blockysize=64, **shape, **place) as raster:
        raster.write(pixels)
        if overviews:
            raster.build_overviews([2, 4], Resampling.average)
    return FileImage(path)


@pytest.fixture
def pixels() -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 200, (3, 300, 400), dtype=np.uint8)
    values[:, :, :200] //= 4
    return values


def test_window_has_the_pixels_and_the_place_of_its_part(tmp_path: Path, pixels: np.ndarray) -> None:
    whole = write(tmp_path / "a.tif", pixels)
    window = SceneWindow(whole, WINDOW)
    assert (window.width, window.height, window.file_name) == (200, 130, "a.tif")
    assert np.array_equal(window.read(PART), whole.read(PART + CORNER))
    assert np.array_equal(window.reduced(1000), np.moveaxis(pixels[:, 60:190, 100:300], 0, 2))
    assert window.reduced(50).shape == (32, 50, 3)
    assert window.shows(PART)
    assert window.georeference is not None
    assert whole.georeference is not None
    corners = np.array([[0.0, 0.0], [7.0, 9.0]])
    np.testing.assert_allclose(
        window.georeference.to_world(corners), whole.georeference.to_world(corners + CORNER[:2]), rtol=1e-12
    )


def test_stretch_is_that_of_the_whole_scene_if_overviews_make_it_cheap(tmp_path: Path, pixels: np.ndarray) -> None:
    deep = pixels.astype(np.uint16) * 16
    part = PART + CORNER
    cheap = write(tmp_path / "cheap.tif", deep, overviews=True)
    assert np.array_equal(SceneWindow(cheap, WINDOW).read(PART), FileImage(tmp_path / "cheap.tif").read(part))
    dear = write(tmp_path / "dear.tif", deep)
    window = SceneWindow(dear, np.array([0, 0, 200, 300]))
    dark = window.read(PART)
    assert dark.max() == 255  # its own percentiles
    assert dear.notes["stretched"].endswith("computed in the searched part")
    assert FileImage(tmp_path / "dear.tif").read(PART).max() < 128
