"""The one home of tile geometry: where tiles lie in a scene, what they show of its boxes, and the way back."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_VISIBLE = 0.3
"""Share of a box's area that a tile must show for the box to count as an object of that tile."""
BORDER = 1.5
"""Pixels: a box that ends so near to the border between tiles may go on behind it."""
SAME = 0.3
"""Two tiles' boxes that agree by so much on what both tiles see are one object; see :func:`merge_tiles`. Tanks hardly
overlap, and two views of one of 10 px that are each 2 px off agree by no more."""


def tile_origins(length: int, tile: int, overlap: int) -> list[int]:
    """Starts of the tiles along one side of a scene.

    Neighbours overlap by ``overlap`` px; the last tile is moved back to end at the border, so that every tile is full
    and no pixel is left out. A side shorter than a tile gets one tile of its own length.

    Args:
        length: side of the scene, pixels.
        tile: side of a tile, pixels.
        overlap: pixels shared by neighbours, ``0 <= overlap < tile``.

    Returns:
        list[int]: increasing starts, pixels, the first 0.

    Raises:
        ValueError: where the sizes are not ``0 <= overlap < tile`` and ``length > 0``.
    """
    if not 0 <= overlap < tile or length <= 0:
        raise ValueError(
            f"need 0 <= overlap < tile and length > 0, got overlap {overlap}, tile {tile}, length {length}"
        )
    if length <= tile:
        return [0]
    starts = list(range(0, length - tile, tile - overlap))
    return [*starts, length - tile]


def tile_grid(width: int, height: int, tile: int, overlap: int) -> NDArray[np.int64]:
    """All tiles of a scene, row by row.

    Args:
        width: scene width, pixels.
        height: scene height, pixels.
        tile: tile side, pixels.
        overlap: pixels shared by neighbours.

    Returns:
        ``(T, 4)`` int64, xyxy, pixels of the scene; together they cover the scene.
    """
    return np.array(
        [
            (x, y, min(x + tile, width), min(y + tile, height))
            for y in tile_origins(height, tile, overlap)
            for x in tile_origins(width, tile, overlap)
        ],
        dtype=np.int64,
    )


def visible_share(boxes: NDArray[np.float32], window: NDArray[np.int64]) -> NDArray[np.float32]:
    """Share of each box's area that lies inside a window.

    Args:
        boxes: ``(N, 4)`` xyxy, pixels, positive area.
        window: ``(4,)`` xyxy in the same frame.

    Returns:
        ``(N,)`` in [0, 1].
    """
    clipped = np.concatenate([np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])], axis=1)
    sides = np.clip(clipped[:, 2:] - clipped[:, :2], 0, None)
    shares: NDArray[np.float32] = (sides.prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).astype(np.float32)
    return shares


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


class Detections(NamedTuple):
    """Boxes ``(N, 4)`` float32 xyxy, pixels, and their scores ``(N,)`` float32."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


def merge_tiles(
    windows: NDArray[np.int64], tiles: Sequence[Detections], width: int, height: int, same: float = SAME
) -> Detections:
    """Bring the detections of overlapping tiles together as those of their scene.

    Two tiles' views of one object agree on the ground that both tiles show. So boxes of two tiles are compared after
    clipping to that ground: by IoU where both saw the object whole, and where a border cuts one of them, by the
    intersection's share of the smaller. Fragments that meet at a border, and lie alike along it, are one object too.
    Pairs are joined from the best agreement down, and an object takes one box of each tile at most, so that two boxes
    of one tile are never merged. Of an object that some tile saw whole, the whole box with the best score stays;
    of one that none did, each side is taken from the fragment that shows it.

    Args:
        windows: ``(T, 4)`` xyxy, pixels of the scene, of :func:`tile_grid`.
        tiles: T, in the same order; boxes in pixels of the tile.
        width: of the scene, pixels.
        height: of the scene, pixels.
        same: least agreement of two boxes of one object, in (0, 1].

    Returns:
        Detections: in pixels of the scene, best scores first.
    """
    tile_of = np.repeat(np.arange(len(tiles)), [len(tile.boxes) for tile in tiles])
    limits = windows[tile_of].astype(np.float64)
    boxes = np.concatenate([np.zeros((0, 4)), *(tile.boxes for tile in tiles)]) + np.tile(limits[:, :2], 2)
    scores = np.concatenate([np.zeros(0, np.float32), *(tile.scores for tile in tiles)])
    # a side is cut where it lies at its tile's border, unless the scene ends there
    cut = np.abs(boxes - limits) <= BORDER
    cut &= limits != np.array([0, 0, width, height])
    objects = _objects(_pairs(limits, tile_of, boxes, cut, same), tile_of)
    return _seen_whole(boxes, scores, cut, objects)


def _pairs(
    limits: NDArray[np.float64],
    tile_of: NDArray[np.int64],
    boxes: NDArray[np.float64],
    cut: NDArray[np.bool_],
    same: float,
) -> NDArray[np.int64]:
    """Boxes of neighbouring tiles that may be one object, ``(P, 2)``, from the best agreement down.

    Those that agree by area come first, by IoU; then fragments that meet at a border, by IoU along it.
    """
    first, second = _near(boxes)
    across = tile_of[first] != tile_of[second]
    first, second = first[across], second[across]
    shared = _intersection(limits[first], limits[second])  # of tiles that do not touch it has a negative side
    neighbours = (shared[:, 2:] >= shared[:, :2]).all(axis=1)
    first, second, shared = first[neighbours], second[neighbours], shared[neighbours]
    iou, agree = _agreement(shared, first, second, boxes, cut, same)
    found = [(iou[agree], first[agree], second[agree])]
    for axis in (0, 1):
        ahead, behind = limits[second, axis] > limits[first, axis], limits[second, axis] < limits[first, axis]
        for before, after, facing in ((first, second, ahead), (second, first, behind)):
            along, meet = _meeting(axis, before[facing], after[facing], boxes, cut, same)
            found.append((along[meet] - 2, first[facing][meet], second[facing][meet]))
    rank, first, second = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((second, first, -rank))
    return np.stack([first[order], second[order]], axis=1)


def _near(boxes: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of all boxes that overlap, or nearly touch, each pair once and the lower index first."""
    from shapely import STRtree, box

    around = box(*(boxes + BORDER * np.array([-1, -1, 1, 1])).T)
    first, second = STRtree(around).query(around)
    return first[first < second], second[first < second]


def _agreement(
    shared: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    boxes: NDArray[np.float64],
    cut: NDArray[np.bool_],
    same: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """IoU of pairs on the ground that both tiles show, and whether it, or what a cut leaves of it, is enough."""
    a, b = _intersection(boxes[first], shared), _intersection(boxes[second], shared)
    common, smaller = _areas(_intersection(a, b)), np.minimum(_areas(a), _areas(b))
    there = smaller > 0
    iou = np.divide(common, _areas(a) + _areas(b) - common, out=np.zeros_like(common), where=there)
    share = np.divide(common, smaller, out=np.zeros_like(common), where=there)
    any_cut = cut[first].any(axis=1) | cut[second].any(axis=1)
    return iou, np.where(any_cut, share, iou) >= same


def _meeting(
    axis: int,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    boxes: NDArray[np.float64],
    cut: NDArray[np.bool_],
    same: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """IoU along a border across ``axis`` of fragments on its two sides, and whether they go on in each other."""
    a, b = boxes[before], boxes[after]
    along = 1 - axis
    common = np.minimum(a[:, along + 2], b[:, along + 2]) - np.maximum(a[:, along], b[:, along])
    whole = np.maximum(a[:, along + 2], b[:, along + 2]) - np.minimum(a[:, along], b[:, along])
    meet = cut[before, axis + 2] & cut[after, axis] & (b[:, axis] - a[:, axis + 2] <= 2 * BORDER)
    meet &= (a[:, axis] <= b[:, axis]) & (a[:, axis + 2] <= b[:, axis + 2]) & (common >= same * whole)
    return common / whole, meet


def _objects(pairs: NDArray[np.int64], tile_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of each box's object, ``(N,)``, joining pairs in order unless an object would get two boxes of a tile."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = len(tile_of)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(number, number))
    count, group_of = connected_components(graph, directed=False)
    # order matters only where a group holds two boxes of one tile
    order = np.lexsort((tile_of, group_of))
    twice = (np.diff(group_of[order]) == 0) & (np.diff(tile_of[order]) == 0)
    disputed = np.zeros(count, np.bool_)
    disputed[group_of[order][1:][twice]] = True
    members = np.flatnonzero(disputed[group_of])
    joined = {index: {index} for index in members.tolist()}
    for first, second in pairs[disputed[group_of[pairs[:, 0]]]].tolist():
        one, other = joined[first], joined[second]
        if one is not other and not {tile_of[i] for i in one} & {tile_of[i] for i in other}:
            one |= other
            for index in other:
                joined[index] = one
    objects: NDArray[np.int64] = group_of.astype(np.int64)
    objects[members] = [count + min(joined[index]) for index in members.tolist()]
    return objects


def _intersection(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])], axis=1)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1)
    return areas


def _seen_whole(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float32],
    cut: NDArray[np.bool_],
    objects: NDArray[np.int64],
) -> Detections:
    """Objects by their best box that no border cuts, or stitched where there is none; best scores first."""
    in_part: NDArray[np.bool_] = np.logical_or.reduce(cut, axis=1)
    order = np.lexsort((-scores, in_part, objects))  # of each object whole boxes first, each by score
    starts = np.flatnonzero(np.diff(objects[order], prepend=-1))
    best, ends = order[starts], np.append(starts[1:], len(order))
    merged, kept = boxes[best], scores[best]
    for index in np.flatnonzero(in_part[best]):
        merged[index] = _stitched(boxes, cut, order[starts[index] : ends[index]])
    first = np.minimum.reduceat(order, starts) if len(order) else order
    by_score = np.lexsort((first, -kept))
    return Detections(merged[by_score].astype(np.float32), kept[by_score])


def _stitched(boxes: NDArray[np.float64], cut: NDArray[np.bool_], members: NDArray[np.int64]) -> NDArray[np.float64]:
    """Box of an object that no tile saw whole: each side from its best fragment that shows it."""
    union: NDArray[np.float64] = np.concatenate([boxes[members, :2].min(axis=0), boxes[members, 2:].max(axis=0)])
    box = union.copy()
    for side in range(4):
        shown = members[~cut[members, side]]
        if len(shown):
            box[side] = boxes[shown[0], side]
    # sides of fragments that hardly agree may pass each other
    fits = (box[2:] > box[:2]).all() and 2 * _areas(box) >= _areas(union)
    return box if fits else union
