import json
from pathlib import Path

import numpy as np
import pytest

from oil_storage.errors import UserError
from oil_storage.imagery import Reading
from oil_storage.inference.bounding_box import BoundingBox
from oil_storage.inference.remote_file import first_bytes
from oil_storage.inference.scene_asset import SceneAsset
from oil_storage.inference.scene_sources import find_sources, is_outside, open_source, source_of
from tests.range_server import RangeServer

ITEM = {"type": "Feature", "id": "item", "assets": {"visual": {"href": "cog.tif"}}}


def test_scenes_are_found_by_url_item_list_and_file(server: RangeServer, www: Path, tmp_path: Path) -> None:
    (www / "item.json").write_text(json.dumps(ITEM))
    (www / "api").write_text(json.dumps({**ITEM, "id": "from api"}))  # an address without suffix
    (tmp_path / "scenes.txt").write_text(f"{server.url}/cog.tif?token=x\nhere.png\n")
    found = find_sources([str(tmp_path / "scenes.txt"), f"{server.url}/item.json", f"{server.url}/api"])
    assert found == [
        SceneAsset(f"{server.url}/cog.tif?token=x", "cog"),
        tmp_path / "here.png",
        SceneAsset(f"{server.url}/cog.tif", "item"),
        SceneAsset(f"{server.url}/cog.tif", "from_api"),
    ]
    assert [str(source) for source in found[:2]] == [f"{server.url}/cog.tif", str(tmp_path / "here.png")]
    with pytest.raises(UserError, match=r"same scene name as http://.*/cog\.tif"):
        find_sources([f"{server.url}/cog.tif", str(www / "cog.tif")])
    first_bytes.cache_clear()
    server.has_ranges = False  # servers of STAC items often ignore ranges
    assert find_sources([f"{server.url}/api"]) == found[3:]


def test_local_item_names_its_scene(www: Path) -> None:
    (www / "item.json").write_text(json.dumps(ITEM))
    (source,) = find_sources([str(www / "item.json")])
    assert (source.stem, source.name, str(source)) == ("item", "item.tif", str(www / "cog.tif"))
    image = open_source(source, Reading())
    assert (image.file_name, image.width) == ("item.tif", 1024)


def test_names_of_scenes_are_safe_file_names() -> None:
    for url, name in (
        ("https://host/a%20b.tif", "a_b"),
        ("https://host/x/.hidden.tif", "hidden"),
        ("https://host/x/a.v2.TIF?b=c.png", "a.v2"),
    ):
        assert source_of(url).stem == name


def test_box_outside_the_scene_is_an_error_when_it_is_opened(www: Path) -> None:
    far = BoundingBox(-71.5, -33, -71.4, -32.9)
    assert is_outside(www / "cog.tif", far)
    assert not is_outside(www / "none.tif", far)  # reported when it is opened
    with pytest.raises(UserError, match=r"cog\.tif: is outside --bbox -71\.5,-33,-71\.4,-32\.9"):
        open_source(www / "cog.tif", Reading(), far)
    with pytest.raises(UserError, match="array: --bbox does not apply, because it has no georeference"):
        open_source(np.zeros((4, 4, 3), np.uint8), Reading(), far)
