"""Boxes and outlines that cross the antimeridian, the meridian of 180 degrees.

Source: https://www.rfc-editor.org/rfc/rfc7946#section-3.1.9
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF, TURN = 180.0, 360.0
PLACES = 10
"""Decimal places to which the longitudes of moved parts are rounded: 0.01 mm."""


def continuous(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rings of longitude and latitude, ``(..., P, 2)``, without jumps between -180 and 180.

    A ring that crosses the antimeridian gets longitudes beyond 180. A ring must be narrower than 180 degrees.
    """
    longitudes = ring[..., 0]
    with np.errstate(invalid="ignore"):  # coordinates can be infinite
        is_behind = longitudes.max(axis=-1, keepdims=True) - longitudes > HALF
    return np.stack([longitudes + TURN * is_behind, ring[..., 1]], axis=-1)


def nearest(longitudes: NDArray[np.float64], centre: float) -> NDArray[np.float64]:
    """Return the longitudes, in degrees, that name the same meridians and differ from ``centre`` by at most 180."""
    with np.errstate(invalid="ignore"):  # longitudes can be infinite
        return longitudes - TURN * np.round((longitudes - centre) / TURN)


def cut(rings: NDArray[np.float64]) -> Any:
    """Make a counter-clockwise polygon of each ring ``(N, P, 2)``; cut those that cross the antimeridian into two.

    Args:
        rings: longitude and latitude of closed rings, in degrees; see :func:`continuous`.

    Returns:
        array of shapely geometries ``(N,)``: Polygons, and MultiPolygons where a ring was cut. All longitudes of cut
        polygons are in [-180, 180].
    """
    import shapely

    rings = continuous(rings)
    polygons = shapely.polygons(rings)
    last = rings[..., 0].max(axis=1)
    for index in np.flatnonzero(np.isfinite(last) & (last > HALF)):
        parts = [
            part
            for turn in (0.0, TURN)
            for part in shapely.get_parts(_between(polygons[index], turn))
            if part.geom_type == "Polygon"
        ]
        polygons[index] = shapely.MultiPolygon(parts) if len(parts) > 1 else parts[0]
    return shapely.orient_polygons(polygons)


def _between(polygon: Any, turn: float) -> Any:
    """Return the part of a polygon within 180 degrees of the meridian ``turn``, moved to that of 0 degrees."""
    import shapely

    part = shapely.intersection(polygon, shapely.box(turn - HALF, -90, turn + HALF, 90))
    return shapely.transform(part, lambda points: (points - (turn, 0)).round(PLACES))


def joined(rings: Sequence[list[list[float]]]) -> list[list[list[float]]]:
    """Join the outer rings of a multi-polygon that were cut at the antimeridian.

    Two rings are joined if one touches the meridian of 180 degrees and the other that of -180, at the same latitudes. A
    joined ring has all points of both rings, so it is useful for its bounds only.
    """
    whole = list(rings)
    for west in rings:
        for east in whole:
            if _meet(east, west):
                whole = [ring for ring in whole if ring is not east and ring is not west] + [east + west]
                break
    return whole


def _meet(east: list[list[float]], west: list[list[float]]) -> bool:
    sides = [
        [position[1] for position in ring if position[0] == meridian]
        for ring, meridian in ((east, HALF), (west, -HALF))
    ]
    return all(sides) and min(sides[0]) < max(sides[1]) and min(sides[1]) < max(sides[0])
