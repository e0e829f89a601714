import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy
from rasterio.transform import from_origin

from oil_storage.cli.detect import main
from oil_storage.cli.train import main as train
from oil_storage.georeference import Georeference
from oil_storage.imagery import read_pixels
from oil_storage.inference.bounding_box import extent_of
from tests.range_server import RangeServer, serving
from tests.tiny_training import write_config, write_data

FLAGS = ["--score-thr", "0.01", "--tile", "64", "--overlap", "16", "--scale", "1"]
PLACE = {"crs": "EPSG:32631", "transform": from_origin(595_000, 5_750_000, 1.2, 1.2)}
SIDE = 512


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Return the config and the checkpoint, and a folder with the COG ``a.tif``, ``far.tif`` and a STAC item."""
    folder = tmp_path_factory.mktemp("remote")
    config = write_config(folder, write_data(folder))
    assert train([str(config), "--work-dir", str(folder / "work")]) == 0
    www = folder / "www"
    www.mkdir()
    images = [read_pixels(folder / "raw" / "images" / f"scene_{index}.jpg") for index in range(4)]
    pixels = np.tile(np.concatenate([np.concatenate(images[:2], 1), np.concatenate(images[2:], 1)]), (2, 2, 1))
    shape = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    for name, place in (("a", PLACE), ("far", {**PLACE, "transform": from_origin(395_000, 5_750_000, 1.2, 1.2)})):
        with rasterio.open(folder / "raw.tif", "w", driver="GTiff", **shape, **place) as raster:
            raster.write(np.moveaxis(pixels, 2, 0))
        copy(folder / "raw.tif", www / f"{name}.tif", driver="COG", blocksize=128, compress="deflate")
    assets = {"visual": {"href": "./a.tif"}}
    (www / "item.json").write_text(json.dumps({"type": "Feature", "id": "an.item", "assets": assets}))
    return [str(config), str(folder / "work" / "iter_8.pth")], www


@pytest.fixture
def server(trained: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(trained[1]) as state:
        yield state


def bbox_of(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a box in degrees inside a window of the scene, up to the angle between north and the rows."""
    part = Georeference("EPSG:32631", tuple(PLACE["transform"] @ PLACE["transform"].translation(x1, y1))[:6])
    return str(extent_of(part, int(x2 - x1), int(y2 - y1)))


def rows(folder: Path, name: str) -> list[list[str]]:
    return [line.split(",")[1:] for line in (folder / f"{name}.csv").read_text().splitlines()[1:]]


def test_remote_scene_and_stac_item_give_the_results_of_the_local_file(
    trained: tuple[list[str], Path], server: RangeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, www = trained
    assert main([*model, str(www / "a.tif"), "--out", str(tmp_path / "local"), *FLAGS]) == 0
    assert "remote scenes" not in capsys.readouterr().out
    expected = rows(tmp_path / "local", "a")
    assert len(expected) > 10
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{server.url}/a.tif?token=secret\n{server.url}/item.json\n")
    argv = [*model, str(urls), "--out", str(tmp_path / "out"), *FLAGS]
    assert main(argv) == 0
    size = (www / "a.tif").stat().st_size
    assert re.search(r"remote scenes: \d+\.\d MB of \d+\.\d MB \(\d+\.\d%\) were read", capsys.readouterr().out)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [scene["scene"] for scene in summary["scenes"]] == ["a", "an.item"]
    for scene in summary["scenes"]:
        assert scene["bytes_total"] == size
        assert 0.5 * size < scene["bytes_read"] < 1.5 * size  # the picture is drawn from the tiles that were read
        assert rows(tmp_path / "out", scene["scene"]) == expected
    assert "secret" not in "".join(path.read_text() for path in (tmp_path / "out").glob("*.json"))
    before = len(server.requests)
    assert main(argv) == 0
    assert "2 of 2 scenes are finished and skipped" in capsys.readouterr().err
    assert len(server.requests) <= before + 1  # the item; the first bytes of images are kept
    # a local item names its scene too
    assert main([*model, str(www / "item.json"), "--out", str(tmp_path / "item"), *FLAGS]) == 0
    assert rows(tmp_path / "item", "an.item") == expected


def test_bbox_limits_the_search_and_keeps_the_pixels_of_the_scene(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, www = trained
    out = tmp_path / "out"
    scenes = [str(www / "far.tif"), str(www / "a.tif")]
    argv = [*model, *scenes, "--bbox", bbox_of(200, 260, 330, 400), "--out", str(out), *FLAGS, "--html"]
    assert main(argv) == 0
    assert f"{www / 'far.tif'}: outside --bbox, not searched" in capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["outside"] == [str(www / "far.tif")]
    (scene,) = summary["scenes"]
    x1, y1, x2, y2 = scene["window"]
    np.testing.assert_allclose([x1, y1, x2, y2], [200, 260, 330, 400], atol=8)
    assert (scene["width"], scene["height"]) == (SIDE, SIDE)
    boxes = np.array([row[:4] for row in rows(out, "a")], float)
    assert len(boxes) > 3
    assert (boxes >= [x1, y1, x1, y1]).all()
    assert (boxes <= [x2, y2, x2, y2]).all()
    # the window gives the boxes of its pixels as a scene, and the same places on the ground
    crop = tmp_path / "crop.tif"
    with rasterio.open(www / "a.tif") as raster:
        pixels = raster.read(window=((y1, y2), (x1, x2)))
    place = {**PLACE, "transform": PLACE["transform"] @ PLACE["transform"].translation(x1, y1)}
    shape = {"width": x2 - x1, "height": y2 - y1, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(crop, "w", driver="GTiff", **shape, **place) as raster:
        raster.write(pixels)
    assert main([*model, str(crop), "--out", str(out), *FLAGS]) == 0
    cut = rows(out, "crop")
    np.testing.assert_allclose(boxes - [x1, y1, x1, y1], np.array([row[:4] for row in cut], float), atol=0.02)
    lonlat, expected = (np.array([row[-2:] for row in part], float) for part in (rows(out, "a"), cut))
    np.testing.assert_allclose(lonlat, expected, atol=1e-7)
    drawn, alone = (read_pixels(out / "pictures" / f"{name}.jpg") for name in ("a", "crop"))
    assert drawn.shape == (y2 - y1, x2 - x1, 3)
    assert np.abs(drawn.astype(int) - alone).mean() < 1
    assert f"= [{x1}, {y1}, {x2}, {y2}], whole = " in (out / "a.html").read_text()
    # the same box again is finished, another box is not
    capsys.readouterr()
    assert main(argv) == 0
    assert "1 of 1 scenes are finished and skipped" in capsys.readouterr().err
    assert main([*argv, "--bbox", bbox_of(0, 0, 130, 130)]) == 0
    assert "finished and skipped" not in capsys.readouterr().err


def test_bbox_that_meets_no_scene_is_an_error(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, www = trained
    argv = [*model, str(www / "a.tif"), "--out", str(tmp_path / "out"), *FLAGS]
    assert main([*argv, "--bbox", "-71.5,-33,-71.4,-32.9"]) == 2
    assert "--bbox -71.5,-33,-71.4,-32.9: meets none of the 1 scenes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_scene_without_a_georeference_is_left_out_of_a_bbox(
    trained: tuple[list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, www = trained
    plain = tmp_path / "plain.png"
    rasterio.shutil.copy(www / "a.tif", plain, driver="PNG")
    for extra in tmp_path.glob("plain.png.*"):
        extra.unlink()
    box = bbox_of(0, 0, 100, 100)
    argv = [*model, str(plain), str(www / "a.tif"), "--bbox", box, "--out", str(tmp_path / "out"), *FLAGS]
    assert main(argv) == 1
    assert f"left out: {plain}: --bbox does not apply, because it has no georeference" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["1,2,3", "a,b,c,d", "4,52,5,51", "4,51,4,52", "-181,51,4,52", "4,51,5,91", "nan,1,2,3"]
)
def test_malformed_bbox_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["a.py", "b.pth", "c.tif", "--out", "out", f"--bbox={text}"])
    assert f"{text!r}: must be west, south, east and north in degrees" in capsys.readouterr().err


@pytest.mark.slow
def test_small_part_of_a_large_cog_needs_few_of_its_bytes(trained: tuple[list[str], Path], tmp_path: Path) -> None:
    """Search 2 % of a COG of 20,480 px; at most 5 % of its bytes may be read, with its header and the picture."""
    model, _ = trained
    side = 20_480
    shape = {"width": side, "height": side, "count": 1, "dtype": "uint8", "tiled": True, "sparse_ok": True}
    with rasterio.open(tmp_path / "sparse.tif", "w", driver="GTiff", compress="deflate", **shape, **PLACE):
        pass
    (tmp_path / "www").mkdir()
    cog = tmp_path / "www" / "large.tif"
    copy(tmp_path / "sparse.tif", cog, driver="COG", compress="none", overview_resampling="nearest")
    assert cog.stat().st_size > 1.3 * side**2
    part = 0.02**0.5 * side
    argv = [*model, "--tile", "640", "--overlap", "128", "--score-thr", "0.9", "--out", str(tmp_path / "out")]
    with serving(tmp_path / "www") as server:
        box = bbox_of(8000, 7000, 8000 + part, 7000 + part)
        assert main([*argv, f"{server.url}/large.tif", "--bbox", box, "--scale", "1"]) == 0
        assert server.sent["/large.tif"] < 0.05 * cog.stat().st_size
        (scene,) = json.loads((tmp_path / "out" / "summary.json").read_text())["scenes"]
        x1, y1, x2, y2 = scene["window"]
        assert (x2 - x1) * (y2 - y1) >= 0.02 * side**2
        assert scene["bytes_read"] == pytest.approx(server.sent["/large.tif"], rel=0.01)
        # the whole scene at a coarser scale is read from an overview
        before = server.sent["/large.tif"]
        assert main([*argv, f"{server.url}/large.tif", "--scale", "0.1"]) == 0
        assert server.sent["/large.tif"] - before < 0.08 * cog.stat().st_size  # most of it for the picture
    cog.unlink()
