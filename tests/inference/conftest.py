"""Scenes on a local web server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy
from rasterio.transform import from_origin

from oil_storage.inference import remote_file, remote_image
from tests.range_server import RangeServer, serving

SIDE = 1024


@pytest.fixture(scope="session")
def www(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``cog.tif``, a COG of 1024 x 1024 px in tiles of 128 px, and ``strips.tif``."""
    folder = tmp_path_factory.mktemp("www")
    fine = np.random.default_rng(0).integers(0, 256, (3, SIDE // 8, SIDE // 8), dtype=np.uint8)
    pixels = fine.repeat(8, axis=1).repeat(8, axis=2)
    pixels[:, ::2, 1::2] ^= np.random.default_rng(1).integers(0, 64, (3, SIDE // 2, SIDE // 2), dtype=np.uint8)
    place = {"crs": "EPSG:32631", "transform": from_origin(595_000, 5_750_000, 0.3, 0.3)}
    shape = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(folder / "strips.tif", "w", driver="GTiff", blockysize=16, **shape, **place) as raster:
        raster.write(pixels)
    options = {"blocksize": 128, "compress": "deflate", "overview_resampling": "average"}
    copy(folder / "strips.tif", folder / "cog.tif", driver="COG", **options)
    (folder / "page.html").write_text("<html>log in</html>")
    return folder


@pytest.fixture
def server(www: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """Serve ``www``; clients wait only briefly before they repeat a request."""
    monkeypatch.setattr(remote_file, "WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(remote_image, "WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(www) as state:
        yield state
