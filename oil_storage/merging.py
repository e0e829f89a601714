"""Merge the detections of overlapping tiles into the detections of a scene."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]

BORDER = 1.5
"""Distance from a tile border, in pixels, within which a side of a box counts as cut by the border."""
SAME = 0.3
"""Minimum agreement of two boxes that are merged; see :func:`merge_tiles`. A low value is safe, because tanks hardly
overlap. Two boxes around the same tank of 10 px may agree no better than this if each has an error of 2 px."""

LEFT, TOP = np.int8(1), np.int8(2)


class Detections(NamedTuple):
    """Boxes ``(N, 4)`` float32 xyxy, in pixels, and scores ``(N,)`` float32."""

    boxes: Floats
    scores: Floats


def merge_tiles(
    windows: NDArray[np.int64] | NDArray[np.float64],
    tiles: Sequence[Detections],
    width: float,
    height: float,
    same: float = SAME,
) -> Detections:
    """Merge the detections of overlapping tiles into detections of the scene.

    Boxes from two tiles are clipped to the overlap of the tiles and then compared. If both boxes are complete, their
    agreement is the IoU. If a tile border cuts at least one box, their agreement is the intersection divided by the
    area of the smaller box. Two cut boxes (fragments) are also merged if they touch at a tile border and have similar
    extents along the border.

    Pairs that agree are merged in order of decreasing IoU, and touching fragments last. Two boxes from the same tile
    are never merged. The result for an object is its complete box with the highest score. If all boxes of the object
    are fragments, each side of the result comes from the fragment with the highest score that shows this side.

    Args:
        windows: ``(T, 4)`` xyxy, in pixels of the scene, from :func:`tile_grid`.
        tiles: detections in each window, in pixels relative to the corner of the window.
        width: width of the scene, in pixels.
        height: height of the scene, in pixels.
        same: minimum agreement between two boxes of the same object, in (0, 1].

    Returns:
        Detections: merged detections in pixels of the scene, in order of decreasing score.
    """
    corners = windows.T.astype(np.float32)
    tile_of = np.repeat(np.arange(len(tiles), dtype=np.int32), [len(tile.boxes) for tile in tiles])
    limits = corners.take(tile_of, axis=1)
    boxes = np.concatenate([np.zeros((0, 4)), *(tile.boxes for tile in tiles)], dtype=np.float32, casting="same_kind")
    boxes = boxes.T.copy()
    boxes += limits[[0, 1, 0, 1]]
    scores = np.concatenate([np.zeros(0), *(tile.scores for tile in tiles)], dtype=np.float32, casting="same_kind")
    # a side is cut if it lies at a border of its tile that is not a border of the scene
    inner = corners != np.array([[0], [0], [width], [height]])
    cut = (np.abs(boxes - limits) <= BORDER) & inner.take(tile_of, axis=1)
    # a diverging detector may return invalid boxes; they have no grid cell and are not merged
    is_box = np.isfinite(boxes).all(axis=0) & (boxes[2:] >= boxes[:2]).all(axis=0)
    shared = np.flatnonzero(is_box & ~_inside(boxes, _shown_alone(corners).take(tile_of, axis=1)))
    objects = 2 * len(shared) + np.arange(len(tile_of))
    tile = tile_of.take(shared)
    limits, views = limits.take(shared, axis=1), boxes.take(shared, axis=1)
    pairs, rank = _pairs(limits, tile, views, cut.take(shared, axis=1), same)
    objects[shared] = _objects(pairs, rank, tile)
    return _seen_whole(boxes, scores, cut, objects)


# The functions below use coordinates (4, N) float32 with the rows x1, y1, x2, y2, because numpy is fastest along rows.


def _shown_alone(windows: Floats) -> Floats:
    """Return the area ``(4, T)`` of each tile that no other tile shows, with a margin; x2 < x1 or y2 < y1 if none."""
    ground = np.empty_like(windows)
    for axis in (0, 1):
        starts, which = np.unique(windows[axis], return_inverse=True)
        ends = np.zeros_like(starts)
        np.maximum.at(ends, which, windows[axis + 2])
        ground[axis] = np.append(-np.inf, np.maximum.accumulate(ends)[:-1])[which] + 2 * BORDER
        ground[axis + 2] = np.append(starts[1:], np.inf)[which] - 2 * BORDER
    return ground


def _inside(boxes: Floats, limits: Floats) -> Flags:
    after, before = boxes[:2] > limits[:2], boxes[2:] < limits[2:]
    return np.asarray(after[0] & after[1] & before[0] & before[1])


def _pairs(limits: Floats, tile_of: Indices, boxes: Floats, cut: Flags, same: float) -> tuple[Indices, Floats]:
    """Return index pairs ``(2, P)`` of boxes that may show the same object, and the rank ``(P,)`` of each pair.

    The rank of two overlapping boxes is their IoU in the overlap of their tiles. The rank of two fragments that touch
    at a tile border is the IoU of their extents along the border, minus 2, so these pairs come last.
    """
    pairs = _near(boxes, tile_of)
    kinds = [_agreeing(pairs, limits, boxes, cut, same)]
    for axis in (0, 1):
        for before, after in (pairs, pairs[::-1]):
            facing = np.flatnonzero(cut[axis + 2].take(before) & cut[axis].take(after))
            facing = facing[limits[axis, before[facing]] < limits[axis, after[facing]]]
            kinds.append(_meeting(axis, np.stack([before[facing], after[facing]]), boxes, same))
    joined, rank = zip(*kinds, strict=True)
    return np.concatenate(joined, axis=1), np.concatenate(rank)


def _near(boxes: Floats, tile_of: Indices) -> Indices:
    """Return the index pairs ``(2, P)`` of boxes from different tiles that overlap or nearly touch."""
    around = boxes + np.array([[-BORDER], [-BORDER], [BORDER], [BORDER]], np.float32)
    cell, index, corner = _by_cell(around)
    x1, y1, x2, y2 = around.take(index, axis=1)
    tile = tile_of.take(index)
    pairs: list[Indices] = [np.empty((2, 0), np.int32)]
    for step in range(1, len(cell)):  # compare each entry with the entry ``step`` positions later in the same cell
        near = cell[step:] == cell[:-step]
        if not near.any():
            break
        near &= tile[step:] != tile[:-step]
        near &= (x1[step:] <= x2[:-step]) & (x1[:-step] <= x2[step:])
        near &= (y1[step:] <= y2[:-step]) & (y1[:-step] <= y2[step:])
        # two boxes that share several cells are paired only in the top left one
        near &= (corner[step:] | corner[:-step]) == LEFT | TOP
        entries = np.flatnonzero(near)
        pairs.append(index.take(np.stack([entries, entries + step])))
    return np.concatenate(pairs, axis=1)


def _by_cell(boxes: Floats) -> tuple[Indices, Indices, NDArray[np.int8]]:
    """Assign boxes to the cells of a square grid; a box has one entry for each cell that it touches.

    Returns:
        tuple: number of the cell, index of the box, and flags of each entry, sorted by cell. The flag ``LEFT`` marks
        the leftmost column of the cells that a box touches, and ``TOP`` marks the top row.
    """
    side = 2.5 * max(1.0, float((boxes[2:] - boxes[:2]).mean())) if boxes.size else 1.0
    left, top, right, bottom = np.floor(boxes / np.float32(side)).astype(np.int32)
    columns = right - left + 1
    count = columns * (bottom - top + 1)
    index = np.repeat(np.arange(len(count), dtype=np.int32), count)
    entry, across = _counted(count), columns.take(index)
    row = entry // across
    column = entry - row * across
    corner = LEFT * (column == 0) | TOP * (row == 0)
    # cell numbers of huge scenes overflow; then some distant boxes are compared as well
    cell = (top.take(index) + row + 1) * (right.max(initial=0) + 2) + left.take(index) + column + 1
    order = _order(cell)
    return cell.take(order), index.take(order), corner.take(order)


def _agreeing(pairs: Indices, limits: Floats, boxes: Floats, cut: Flags, same: float) -> tuple[Indices, Floats]:
    """Return the pairs whose boxes agree in the overlap of their tiles, and their IoU in this overlap."""
    first, second = pairs
    a, b = boxes.take(first, axis=1), boxes.take(second, axis=1)
    common = _common_area(a, b)
    # a box lies in its own tile, so clipping it to the other tile clips it to the overlap of the tiles
    shown = _common_area(a, limits.take(second, axis=1)), _common_area(b, limits.take(first, axis=1))
    union = shown[0] + shown[1] - common
    in_part = cut[0] | cut[1] | cut[2] | cut[3]
    whole = np.where(in_part.take(first) | in_part.take(second), np.minimum(*shown), union)
    agree = (common > 0) & (common >= same * whole)
    return pairs.compress(agree, axis=1), common[agree] / union[agree]


def _meeting(axis: int, facing: Indices, boxes: Floats, same: float) -> tuple[Indices, Floats]:
    """Select pairs of fragments that touch and have similar extents; return indices ``(2, P)`` and ranks ``(P,)``.

    The fragments are adjacent in x (``axis`` 0) or in y (``axis`` 1). The first of a pair is on the left or on top.
    """
    a, b = boxes[:, facing[0]], boxes[:, facing[1]]
    along = 1 - axis
    common = np.minimum(a[along + 2], b[along + 2]) - np.maximum(a[along], b[along])
    whole = np.maximum(a[along + 2], b[along + 2]) - np.minimum(a[along], b[along])
    meet = b[axis] - a[axis + 2] <= 2 * BORDER
    meet &= (a[axis] <= b[axis]) & (a[axis + 2] <= b[axis + 2]) & (common >= same * whole)
    return facing[:, meet], common[meet] / whole[meet] - 2


def _objects(pairs: Indices, rank: Floats, tile_of: Indices) -> NDArray[np.int64]:
    """Return the object number ``(N,)`` of each box; boxes of the same object have the same number.

    Pairs with the highest rank are merged first. A pair is skipped if an object would get two boxes from one tile.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number, tiles = len(tile_of), tile_of.max(initial=0) + 1
    graph = coo_array((np.ones(len(rank)), (pairs[0], pairs[1])), shape=(number, number))
    count, group_of = connected_components(graph, directed=False)
    # the order matters only in groups with two boxes of one tile
    held = np.sort(group_of.astype(np.int64) * tiles + tile_of)
    disputed = np.zeros(count, np.bool_)
    disputed[held[1:][np.diff(held) == 0] // tiles] = True
    members = np.flatnonzero(disputed.take(group_of))
    contested = np.flatnonzero(disputed.take(group_of.take(pairs[0])))
    pairs, rank = pairs.take(contested, axis=1), rank[contested]
    joined = {index: {tile: index} for index, tile in zip(members.tolist(), tile_of[members].tolist(), strict=True)}
    for first, second in pairs[:, np.lexsort((pairs[1], pairs[0], -rank))].T.tolist():
        into, other = joined[first], joined[second]
        if into is not other and into.keys().isdisjoint(other):
            into |= other
            for index in other.values():
                joined[index] = into
    objects: NDArray[np.int64] = group_of.astype(np.int64)
    objects[members] = [count + next(iter(joined[index].values())) for index in members.tolist()]
    return objects


def _counted(lengths: Indices) -> Indices:
    """Concatenate ``range(length)`` for all lengths."""
    ends = np.cumsum(lengths, dtype=np.int32)
    return np.arange(lengths.sum(), dtype=np.int32) - np.repeat(ends - lengths, lengths)


def _order(keys: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the indices that sort keys in [0, 2**31); the sort is stable and much faster than ``np.argsort``."""
    return np.sort((keys.astype(np.int64) << 32) | np.arange(len(keys))) & 0xFFFFFFFF


def _common_area(boxes: Floats, others: Floats) -> Floats:
    area: Floats = _overlap(0, boxes, others)
    area *= _overlap(1, boxes, others)
    return area


def _overlap(axis: int, boxes: Floats, others: Floats) -> Floats:
    """Return the length ``(N,)`` of the overlap of ``boxes[:, n]`` and ``others[:, n]`` along an axis."""
    length: Floats = np.minimum(boxes[axis + 2], others[axis + 2])
    length -= np.maximum(boxes[axis], others[axis])
    return np.maximum(length, 0, out=length)


def _seen_whole(boxes: Floats, scores: Floats, cut: Flags, objects: NDArray[np.int64]) -> Detections:
    """Return one box per object, in order of decreasing score: the best complete box, or the stitched fragments."""
    in_part: Flags = cut[0] | cut[1] | cut[2] | cut[3]
    by_score = _order(np.float32(np.inf).view(np.int32) - scores.view(np.int32))  # positive floats sort like their bits
    ranks = _order((2 * objects + in_part).take(by_score))  # for each object, complete boxes first, by score
    starts = np.flatnonzero(np.diff(objects.take(by_score.take(ranks)), prepend=-1))
    ends = np.append(starts[1:], len(ranks))
    first = np.argsort(ranks[starts])
    best = by_score[ranks[starts[first]]]
    merged = boxes.take(best, axis=1)
    for index in np.flatnonzero(in_part[best]):
        members = by_score[ranks[starts[first[index]] : ends[first[index]]]]
        merged[:, index] = _stitched(boxes, cut, members)
    return Detections(merged.T.astype(np.float32), scores[best])


def _stitched(boxes: Floats, cut: Flags, members: NDArray[np.int64]) -> Floats:
    """Combine the fragments ``members`` of an object, sorted by decreasing score, into one box ``(4,)``.

    Each side comes from the first fragment that shows it. If this box has less than half of the area of the union of
    the fragments, return the union.
    """
    union: Floats = np.concatenate([boxes[:2, members].min(axis=1), boxes[2:, members].max(axis=1)])
    box = union.copy()
    for side in range(4):
        shown = members[~cut[side, members]]
        if len(shown):
            box[side] = boxes[side, shown[0]]
    # opposite sides may cross if the fragments hardly agree
    fits = (box[2:] > box[:2]).all() and 2 * np.prod(box[2:] - box[:2]) >= np.prod(union[2:] - union[:2])
    return box if fits else union
