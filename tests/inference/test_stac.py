from typing import Any

import pytest

from oil_storage.errors import UserError
from oil_storage.inference.stac import item_scene

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(**assets: tuple[str, str]) -> dict[str, Any]:
    named = {key: {"href": href, "type": kind} for key, (href, kind) in assets.items()}
    return {"type": "Feature", "stac_version": "1.0.0", "id": "S2A_31UET/2024", "assets": named}


def test_relative_addresses_start_at_the_item() -> None:
    content = item(visual=("./img/a.tif", TIFF), nir=("https://other/b.tif?sig=x", TIFF))
    assert item_scene(content, "/data/items/item.json").location == "/data/items/img/a.tif"
    assert item_scene(content, "https://host/items/item.json?token=t").location == "https://host/items/img/a.tif"
    assert item_scene(content, "/data/item.json", "nir").location == "https://other/b.tif?sig=x"
    assert item_scene(content, "item.json").stem == "S2A_31UET_2024"


def test_default_asset_is_visual_or_the_only_geotiff() -> None:
    thumbnail = ("t.png", "image/png")
    assert item_scene(item(B04=("r.tif", TIFF), visual=("v.tif", TIFF)), "item.json").location == "v.tif"
    assert item_scene(item(image=("i.tif", TIFF), thumbnail=thumbnail), "item.json").location == "i.tif"
    with pytest.raises(UserError, match=r"item\.json: the item has no asset 'visual'; choose .* --asset: B04, B08$"):
        item_scene(item(B04=("r.tif", TIFF), B08=("n.tif", TIFF), thumbnail=thumbnail), "item.json")
    with pytest.raises(UserError, match=r"no asset 'B09'; choose one with --asset: B04"):
        item_scene(item(B04=("r.tif", TIFF)), "item.json", "B09")


def test_other_documents_and_addresses_are_refused() -> None:
    for content in ({"type": "Collection", "id": "a"}, {"type": "FeatureCollection"}, ["a"]):
        with pytest.raises(UserError, match="not a STAC item"):
            item_scene(content, "item.json")
    with pytest.raises(UserError, match=r"item\.json: assets: Field required"):
        item_scene({"type": "Feature", "id": "a"}, "item.json")
    for place in ("item.json", "https://host/item.json"):
        with pytest.raises(UserError, match=r"is at s3://bucket/a\.tif, which is not http or https"):
            item_scene(item(visual=("s3://bucket/a.tif", TIFF)), place)
