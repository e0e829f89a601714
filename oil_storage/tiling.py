"""Tile geometry: where tiles lie in a scene, and what they show of its boxes."""

import numpy as np
from numpy.typing import NDArray

MIN_VISIBLE = 0.3
"""Share of a box's area that a tile must show for the box to count as an object of that tile."""


def tile_origins(length: int, tile: int, overlap: int) -> list[int]:
    """Return the increasing starts of the tiles along one side of a scene, pixels.

    Neighbours share ``overlap`` px; the last tile is moved back to end at the border, so that every tile is full and no
    pixel is left out. A side shorter than a tile gets one tile of its own length.

    Raises:
        ValueError: where the sizes are not ``0 <= overlap < tile`` and ``length > 0``.
    """
    if not 0 <= overlap < tile or length <= 0:
        raise ValueError(
            f"need 0 <= overlap < tile and length > 0, got overlap {overlap}, tile {tile}, length {length}"
        )
    if length <= tile:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def tile_grid(width: int, height: int, tile: int, overlap: int) -> NDArray[np.int64]:
    """Return all tiles of a scene, row by row, ``(T, 4)`` xyxy, pixels of the scene; together they cover it."""
    return np.array(
        [
            (x, y, min(x + tile, width), min(y + tile, height))
            for y in tile_origins(height, tile, overlap)
            for x in tile_origins(width, tile, overlap)
        ],
        dtype=np.int64,
    )


def visible_share(boxes: NDArray[np.float32], window: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the share of the area of boxes ``(N, 4)`` xyxy that lies inside a window ``(4,)`` xyxy, ``(N,)``."""
    clipped = np.concatenate([np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])], axis=1)
    sides = np.clip(clipped[:, 2:] - clipped[:, :2], 0, None)
    return np.asarray((sides.prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).astype(np.float32))


def cut_boxes(
    boxes: NDArray[np.float32], window: NDArray[np.int64], min_visible: float = MIN_VISIBLE
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Move a scene's boxes into a window of it.

    Args:
        boxes: ``(N, 4)`` xyxy, pixels of the scene.
        window: ``(4,)`` xyxy, pixels of the scene.
        min_visible: boxes that show less than this share of their area are left out.

    Returns:
        tuple: the kept boxes clipped, ``(K, 4)`` xyxy in pixels of the window, and their indices ``(K,)`` in ``boxes``.
    """
    kept = np.flatnonzero(visible_share(boxes, window) >= min_visible)
    origin = np.tile(window[:2], 2)
    size = np.tile(window[2:] - window[:2], 2)
    return np.clip(boxes[kept] - origin, 0, size).astype(np.float32), kept
