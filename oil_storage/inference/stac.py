"""Find the image of a STAC item.

Source: https://github.com/radiantearth/stac-spec/blob/master/item-spec/item-spec.md
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from pydantic import BaseModel

from oil_storage.errors import UserError
from oil_storage.files import validated
from oil_storage.inference.remote_file import is_url, shown
from oil_storage.inference.scene_asset import SceneAsset

DEFAULT = "visual"
"""Usual key of the asset in true colours."""
TIFF = "image/tiff"
"""Start of the media types of GeoTIFFs."""


class _Asset(BaseModel):
    href: str
    type: str | None = None


class _Item(BaseModel):
    id: str
    assets: dict[str, _Asset]


def item_scene(content: Any, place: str, key: str | None = None) -> SceneAsset:
    """Return the image of a STAC item. The scene has the name of the item.

    Args:
        content: content of the item's JSON file.
        place: URL or path of the item; relative addresses start there.
        key: key of the asset; None uses :data:`DEFAULT`, or else the only GeoTIFF.

    Raises:
        UserError: the content is not a STAC item, it has no such asset, or the asset is neither a file nor at an
            ``http`` or ``https`` address.
    """
    name = shown(place) if is_url(place) else place
    kind = content.get("type") if isinstance(content, dict) else None
    if kind != "Feature":
        raise UserError(f"{name}: not a STAC item (its type is {kind!r}, not 'Feature'); give the JSON file of an item")
    item = validated(content, _Item, name)
    tiffs = [key for key, asset in item.assets.items() if (asset.type or "").startswith(TIFF)]
    if key is None:
        key = tiffs[0] if DEFAULT not in item.assets and len(tiffs) == 1 else DEFAULT
    if key not in item.assets:
        choice = ", ".join(tiffs or item.assets) or "none"
        raise UserError(f"{name}: the item has no asset {key!r}; choose one with --asset: {choice}")
    href = item.assets[key].href
    location = urljoin(place, href) if is_url(place) or is_url(href) else str(Path(place).parent / href)
    if not is_url(location) and re.match(r"\w+://", href):
        raise UserError(f"{name}: asset {key!r} is at {href}, which is not http or https; choose another with --asset")
    return SceneAsset(location, safe_name(item.id))


def safe_name(text: str) -> str:
    """Convert the ID of an item, or a part of a URL, to a file name: no separators, and not hidden."""
    return re.sub(r"[^\w.+-]", "_", text).lstrip(".") or "scene"
