"""Tile geometry: positions of tiles in a scene, and boxes inside tiles."""

import numpy as np
from numpy.typing import NDArray

MIN_VISIBLE = 0.3
"""Share of the area of a box that must be inside a tile for the tile to contain the object."""


def tile_origins(length: int, tile: int, overlap: int) -> list[int]:
    """Return the start positions of the tiles along one side of a scene, in pixels and in increasing order.

    Adjacent tiles overlap by ``overlap`` px. The last tile is shifted back to end at the border, so all tiles are full
    size and cover every pixel. A side shorter than ``tile`` gets a single tile of that length.

    Raises:
        ValueError: the sizes do not satisfy ``0 <= overlap < tile`` and ``length > 0``.
    """
    if not 0 <= overlap < tile or length <= 0:
        raise ValueError(
            f"need 0 <= overlap < tile and length > 0, got overlap {overlap}, tile {tile}, length {length}"
        )
    if length <= tile:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def tile_grid(
    width: int, height: int, tile: int | tuple[int, int], overlap: int | tuple[int, int]
) -> NDArray[np.int64]:
    """Return the tiles ``(T, 4)`` that cover a scene, row by row, as xyxy in pixels of the scene.

    ``tile`` and ``overlap`` are single numbers for both axes, or pairs for x and y.
    """
    (tile_x, tile_y), (overlap_x, overlap_y) = (np.broadcast_to(pair, 2).tolist() for pair in (tile, overlap))
    columns, rows = tile_origins(width, tile_x, overlap_x), tile_origins(height, tile_y, overlap_y)
    x, y = np.meshgrid(np.array(columns, np.int64), np.array(rows, np.int64))
    windows = np.stack([x, y, np.minimum(x + tile_x, width), np.minimum(y + tile_y, height)], axis=-1)
    return windows.reshape(-1, 4)


def visible_share(boxes: NDArray[np.float32], window: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the share ``(N,)`` of the area of boxes ``(N, 4)`` xyxy inside a window ``(4,)`` xyxy."""
    clipped = np.concatenate([np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])], axis=1)
    sides = np.clip(clipped[:, 2:] - clipped[:, :2], 0, None)
    return np.asarray((sides.prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).astype(np.float32))


def cut_boxes(
    boxes: NDArray[np.float32], window: NDArray[np.int64], min_visible: float = MIN_VISIBLE
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Clip the boxes of a scene to a window and convert them to pixels of the window.

    Args:
        boxes: ``(N, 4)`` xyxy, in pixels of the scene.
        window: ``(4,)`` xyxy, in pixels of the scene.
        min_visible: minimum share of the area of a box inside the window; other boxes are dropped.

    Returns:
        tuple: the clipped boxes ``(K, 4)``, xyxy in pixels of the window, and their indices ``(K,)`` in ``boxes``.
    """
    indices = np.flatnonzero(visible_share(boxes, window) >= min_visible)
    origin = np.tile(window[:2], 2)
    size = np.tile(window[2:] - window[:2], 2)
    return np.clip(boxes[indices] - origin, 0, size).astype(np.float32), indices
