"""Merge the detections of overlapping tiles into those of a scene."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]

BORDER = 1.5
"""Pixels: a box that ends so near to the border between tiles may go on behind it."""
SAME = 0.3
"""Two tiles' boxes that agree by so much on what both tiles see are one object; see :func:`merge_tiles`. Tanks hardly
overlap, and two views of one of 10 px that are each 2 px off agree by no more."""

LEFT, TOP = np.int8(1), np.int8(2)


class Detections(NamedTuple):
    """Boxes ``(N, 4)`` float32 xyxy, pixels, and their scores ``(N,)`` float32."""

    boxes: Floats
    scores: Floats


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
        tiles: detections of each window, in pixels of the tile.
        width: of the scene, pixels.
        height: of the scene, pixels.
        same: least agreement of two boxes of one object, in (0, 1].

    Returns:
        Detections: in pixels of the scene, best scores first.
    """
    corners = windows.T.astype(np.float32)
    tile_of = np.repeat(np.arange(len(tiles), dtype=np.int32), [len(tile.boxes) for tile in tiles])
    limits = corners.take(tile_of, axis=1)
    boxes = np.concatenate([np.zeros((0, 4)), *(tile.boxes for tile in tiles)], dtype=np.float32, casting="same_kind")
    boxes = boxes.T.copy()
    boxes += limits[[0, 1, 0, 1]]
    scores = np.concatenate([np.zeros(0), *(tile.scores for tile in tiles)], dtype=np.float32, casting="same_kind")
    # a side is cut where it lies at its tile's border, unless the scene ends there
    inner = corners != np.array([[0], [0], [width], [height]])
    cut = (np.abs(boxes - limits) <= BORDER) & inner.take(tile_of, axis=1)
    # a diverging detector may return what is no box: it has no cell and stays as it is
    is_box = np.isfinite(boxes).all(axis=0) & (boxes[2:] >= boxes[:2]).all(axis=0)
    shared = np.flatnonzero(is_box & ~_inside(boxes, _shown_alone(corners).take(tile_of, axis=1)))
    objects = 2 * len(shared) + np.arange(len(tile_of))
    tile = tile_of.take(shared)
    limits, views = limits.take(shared, axis=1), boxes.take(shared, axis=1)
    pairs, rank = _pairs(limits, tile, views, cut.take(shared, axis=1), same)
    objects[shared] = _objects(pairs, rank, tile)
    return _seen_whole(boxes, scores, cut, objects)


# Below, coordinates are (4, N) float32, a row for each of x1, y1, x2, y2: numpy is fastest along rows.


def _shown_alone(windows: Floats) -> Floats:
    """Return the ground of each tile whose boxes are far from other tiles; a side is negative where there is none."""
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
    """Return boxes of neighbouring tiles that may be one object, ``(2, P)``, and how well they agree, ``(P,)``.

    The agreement is their IoU by area; for fragments that meet at a border it is the IoU along it, less 2.
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
    """Return boxes of two tiles that overlap, or nearly touch, ``(2, P)``, each pair once."""
    around = boxes + np.array([[-BORDER], [-BORDER], [BORDER], [BORDER]], np.float32)
    cell, index, corner = _by_cell(around)
    x1, y1, x2, y2 = around.take(index, axis=1)
    tile = tile_of.take(index)
    pairs: list[Indices] = [np.empty((2, 0), np.int32)]
    for step in range(1, len(cell)):  # each entry beside the next of its cell, then the one after that, and so on
        near = cell[step:] == cell[:-step]
        if not near.any():
            break
        near &= tile[step:] != tile[:-step]
        near &= (x1[step:] <= x2[:-step]) & (x1[:-step] <= x2[step:])
        near &= (y1[step:] <= y2[:-step]) & (y1[:-step] <= y2[step:])
        # two boxes that share several cells are paired in the one where their common ground begins
        near &= (corner[step:] | corner[:-step]) == LEFT | TOP
        entries = np.flatnonzero(near)
        pairs.append(index.take(np.stack([entries, entries + step])))
    return np.concatenate(pairs, axis=1)


def _by_cell(boxes: Floats) -> tuple[Indices, Indices, NDArray[np.int8]]:
    """List boxes in each cell of a square grid that they touch; cells are some boxes wide, and hold few.

    Returns:
        tuple: the number of the cell of each of ``L`` entries, increasing, the index of its box, and whether the cell
        is in the box's ``LEFT`` column or ``TOP`` row.
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
    # in a scene of very many cells numbers wrap round: then some boxes that are compared lie far apart
    cell = (top.take(index) + row + 1) * (right.max(initial=0) + 2) + left.take(index) + column + 1
    order = _order(cell)
    return cell.take(order), index.take(order), corner.take(order)


def _agreeing(pairs: Indices, limits: Floats, boxes: Floats, cut: Flags, same: float) -> tuple[Indices, Floats]:
    """Return pairs whose IoU on the ground of both tiles, or what a cut leaves of it, is enough, and that IoU."""
    first, second = pairs
    a, b = boxes.take(first, axis=1), boxes.take(second, axis=1)
    common = _common_area(a, b)
    # a box lies in its own tile: what both tiles show of it is what the other does
    shown = _common_area(a, limits.take(second, axis=1)), _common_area(b, limits.take(first, axis=1))
    union = shown[0] + shown[1] - common
    in_part = cut[0] | cut[1] | cut[2] | cut[3]
    whole = np.where(in_part.take(first) | in_part.take(second), np.minimum(*shown), union)
    agree = (common > 0) & (common >= same * whole)
    return pairs.compress(agree, axis=1), common[agree] / union[agree]


def _meeting(axis: int, facing: Indices, boxes: Floats, same: float) -> tuple[Indices, Floats]:
    """Return fragments before and behind borders across ``axis`` that continue each other, and their rank."""
    a, b = boxes[:, facing[0]], boxes[:, facing[1]]
    along = 1 - axis
    common = np.minimum(a[along + 2], b[along + 2]) - np.maximum(a[along], b[along])
    whole = np.maximum(a[along + 2], b[along + 2]) - np.minimum(a[along], b[along])
    meet = b[axis] - a[axis + 2] <= 2 * BORDER
    meet &= (a[axis] <= b[axis]) & (a[axis + 2] <= b[axis + 2]) & (common >= same * whole)
    return facing[:, meet], common[meet] / whole[meet] - 2


def _objects(pairs: Indices, rank: Floats, tile_of: Indices) -> NDArray[np.int64]:
    """Number the objects of boxes, ``(N,)``: join the best pairs first unless an object would get two of a tile."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number, tiles = len(tile_of), tile_of.max(initial=0) + 1
    graph = coo_array((np.ones(len(rank)), (pairs[0], pairs[1])), shape=(number, number))
    count, group_of = connected_components(graph, directed=False)
    # order matters only where a group holds two boxes of one tile
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
    """Concatenate ``range(length)`` of all lengths."""
    ends = np.cumsum(lengths, dtype=np.int32)
    return np.arange(lengths.sum(), dtype=np.int32) - np.repeat(ends - lengths, lengths)


def _order(keys: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Sort keys of 0 to 2**31 stably, and return the indices; much faster than a stable argsort."""
    return np.sort((keys.astype(np.int64) << 32) | np.arange(len(keys))) & 0xFFFFFFFF


def _common_area(boxes: Floats, others: Floats) -> Floats:
    area: Floats = _overlap(0, boxes, others)
    area *= _overlap(1, boxes, others)
    return area


def _overlap(axis: int, boxes: Floats, others: Floats) -> Floats:
    """Return the length along an axis that two boxes share, ``(N,)``."""
    length: Floats = np.minimum(boxes[axis + 2], others[axis + 2])
    length -= np.maximum(boxes[axis], others[axis])
    return np.maximum(length, 0, out=length)


def _seen_whole(boxes: Floats, scores: Floats, cut: Flags, objects: NDArray[np.int64]) -> Detections:
    """Return objects by their best box that no border cuts, or stitched where there is none; best scores first."""
    in_part: Flags = cut[0] | cut[1] | cut[2] | cut[3]
    by_score = _order(np.float32(np.inf).view(np.int32) - scores.view(np.int32))  # floats above 0 order as their bits
    ranks = _order((2 * objects + in_part).take(by_score))  # of each object whole boxes first, each by score
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
    """Return the box of an object that no tile saw whole: each side from its best fragment that shows it."""
    union: Floats = np.concatenate([boxes[:2, members].min(axis=1), boxes[2:, members].max(axis=1)])
    box = union.copy()
    for side in range(4):
        shown = members[~cut[side, members]]
        if len(shown):
            box[side] = boxes[side, shown[0]]
    # sides of fragments that hardly agree may pass each other
    fits = (box[2:] > box[:2]).all() and 2 * np.prod(box[2:] - box[:2]) >= np.prod(union[2:] - union[:2])
    return box if fits else union
