"""Find scenes by file name, folder, pattern, list, URL or STAC item, and open them."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations.images import LIST, distinct, listed, matches
from oil_storage.errors import UserError
from oil_storage.files import read_json
from oil_storage.image_file import read_header
from oil_storage.imagery import FileImage, Reading, SceneImage, open_scene
from oil_storage.inference import remote_file
from oil_storage.inference.bounding_box import BoundingBox
from oil_storage.inference.remote_file import is_url
from oil_storage.inference.remote_image import RemoteImage
from oil_storage.inference.scene_asset import SceneAsset
from oil_storage.inference.scene_window import SceneWindow
from oil_storage.inference.stac import item_scene, safe_name

ITEM = ".json"
"""Suffix of STAC items."""
TIFF_SUFFIXES = (".tif", ".tiff")

SceneFile = Path | SceneAsset
Source = SceneFile | NDArray[np.uint8]


def find_sources(named: Sequence[str], asset: str | None = None) -> list[SceneFile]:
    """Find scenes, in the order of the arguments.

    Args:
        named: what :func:`oil_storage.annotations.images.find_scenes` takes, URLs of TIFFs, and files and URLs of STAC
            items. A ``.txt`` file can list URLs too.
        asset: asset of STAC items; see :func:`oil_storage.inference.stac.item_scene`.

    Raises:
        UserError: a name matches no file, a STAC item cannot be read, or two scenes have the same name.
    """
    return distinct(source_of(place, asset) for name in named for place in _places(name))


def source_of(place: str | Path, asset: str | None = None) -> SceneFile:
    """Return the scene at a path or URL, which may be those of a STAC item."""
    if isinstance(place, Path) or not is_url(place):
        path = Path(place)
        return item_scene(read_json(path), str(path), asset) if path.suffix.lower() == ITEM else path
    file = PurePosixPath(unquote(urlsplit(place).path))
    is_item = file.suffix.lower() == ITEM
    if file.suffix.lower() not in TIFF_SUFFIXES and not is_item:
        is_item = remote_file.first_bytes(place).content.lstrip().startswith(b"{")
    if is_item:
        return item_scene(remote_file.read_json(place), place, asset)
    return SceneAsset(place, safe_name(file.stem if file.suffix.lower() in TIFF_SUFFIXES else file.name))


def _places(name: str) -> Iterator[str | Path]:
    path = Path(name)
    if is_url(name):
        yield name
    elif path.suffix.lower() == LIST and path.is_file():
        yield from (line if is_url(line) else path.parent / line for line in listed(path))
    else:
        yield from matches(name)


def open_source(source: Source, reading: Reading, bbox: BoundingBox | None = None) -> SceneImage:
    """Open a scene, or the part of it in a bounding box.

    Raises:
        UserError: see :class:`oil_storage.imagery.FileImage`; or the scene is not georeferenced or outside the box.
    """
    if isinstance(source, np.ndarray):
        image: SceneImage = open_scene(source)
    elif isinstance(source, SceneAsset) and source.is_remote:
        image = RemoteImage(source, reading)
    else:
        image = FileImage(Path(source), reading)
        image.file_name = source.name
    if bbox is None:
        return image
    name = image.file_name if isinstance(source, np.ndarray) else source
    try:
        if image.georeference is None or not isinstance(image, FileImage):
            raise ValueError("it has no georeference")
        window = bbox.window(image.georeference, image.width, image.height)
    except ValueError as error:
        raise UserError(
            f"{name}: --bbox does not apply, because {error}; georeference it, or leave --bbox out"
        ) from error
    if window is None:
        raise UserError(f"{name}: is outside --bbox {bbox}; give a box that it meets")
    return SceneWindow(image, window)


def is_outside(source: SceneFile, bbox: BoundingBox) -> bool:
    """Return whether a scene lies outside a bounding box; False if it cannot be opened or is not georeferenced."""
    try:
        header = read_header(source)
        if header.georeference is None:
            return False
        return bbox.window(header.georeference, header.width, header.height) is None
    except (UserError, ValueError):  # reported when the scene is searched
        return False
