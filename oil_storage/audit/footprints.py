"""Where scenes lie on the earth."""

from collections.abc import Iterable
from functools import partial

import numpy as np
import shapely

from oil_storage.scene import Scene

PIECES = 16
"""Of each side; a side that is straight in one coordinate system is bent in another."""
EARTH = "EPSG:4326"


def footprints(scenes: Iterable[Scene]) -> dict[str, shapely.Geometry]:
    """Areas that scenes cover, by scene id, as longitude and latitude.

    Scenes whose files name no coordinate system of the earth's are left out: several may start at the same origin of
    their own.
    """
    from rasterio.warp import transform

    areas = {}
    for scene in scenes:
        place = scene.georeference
        if place is None or place.crs is None:
            continue
        frame = shapely.box(0, 0, scene.width, scene.height)
        frame = shapely.segmentize(frame, max(scene.width, scene.height) / PIECES)
        outline = shapely.transform(frame, place.to_world)
        to_earth = partial(transform, place.crs, EARTH)
        area = shapely.transform(outline, lambda xy, to_earth=to_earth: np.column_stack(to_earth(xy[:, 0], xy[:, 1])))
        if np.isfinite(area.bounds).all():
            areas[scene.scene_id] = area
    return areas
