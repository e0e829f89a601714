"""The one home of tile geometry: where tiles lie in a scene, what they show of its boxes, and the way back."""

from collections.abc import Iterator, Sequence
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
    origins = np.tile(windows[:, :2], 2)
    boxes: NDArray[np.float64] = np.concatenate([np.zeros((0, 4)), *(tile.boxes for tile in tiles)])
    boxes = boxes + origins[tile_of].astype(np.float64)
    scores = np.concatenate([np.zeros(0, np.float32), *(tile.scores for tile in tiles)])
    # a side is cut where it lies at its tile's border, unless the scene ends there
    limits = windows[tile_of].astype(float)
    cut = np.abs(boxes - limits) <= BORDER
    cut &= limits != np.array([0, 0, width, height])
    at = np.split(np.arange(len(boxes)), np.cumsum([len(tile.boxes) for tile in tiles])[:-1])

    objects = [{index} for index in range(len(boxes))]  # of each box, shared by all of its object
    pairs = sorted(_pairs(windows, at, boxes, cut, same), key=lambda pair: (-pair[0], pair[1:]))
    for _, first, second in pairs:
        one, other = objects[first], objects[second]
        if one is not other and not {tile_of[i] for i in one} & {tile_of[i] for i in other}:
            one |= other
            for index in other:
                objects[index] = one
    merged = [
        _seen_whole(boxes, scores, cut, sorted(members))
        for index, members in enumerate(objects)
        if index == min(members)
    ]
    merged.sort(key=lambda one: -one[1])
    return Detections(
        np.array([box for box, _ in merged], np.float32).reshape(-1, 4),
        np.array([score for _, score in merged], np.float32),
    )


def _pairs(
    windows: NDArray[np.int64],
    at: Sequence[NDArray[np.int64]],
    boxes: NDArray[np.float64],
    cut: NDArray[np.bool_],
    same: float,
) -> Iterator[tuple[float, int, int]]:
    """Boxes of neighbouring tiles that may be one object: how well they agree, and their places in ``boxes``."""
    for i in range(len(windows)):
        later = windows[i + 1 :]
        shared = np.concatenate(
            [np.maximum(windows[i, :2], later[:, :2]), np.minimum(windows[i, 2:], later[:, 2:])], axis=1
        )
        for j in np.flatnonzero((shared[:, 2:] >= shared[:, :2]).all(axis=1)):
            ours, theirs = at[i], at[i + 1 + j]
            yield from _agreeing(shared[j], ours, theirs, boxes, cut, same)
            for axis in (0, 1):
                ahead = windows[i + 1 + j, axis] > windows[i, axis]
                before, after = (ours, theirs) if ahead else (theirs, ours)
                if windows[i + 1 + j, axis] != windows[i, axis]:
                    yield from _meeting(axis, before, after, boxes, cut, same)


def _agreeing(
    shared: NDArray[np.int64],
    ours: NDArray[np.int64],
    theirs: NDArray[np.int64],
    boxes: NDArray[np.float64],
    cut: NDArray[np.bool_],
    same: float,
) -> Iterator[tuple[float, int, int]]:
    """Pairs that agree on the ground ``shared`` by two tiles, by IoU there."""
    ours, theirs = (one[_areas(_clipped(boxes[one], shared)) > 0] for one in (ours, theirs))
    a, b = _clipped(boxes[ours], shared)[:, None], _clipped(boxes[theirs], shared)[None]
    common = _areas(np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1))
    iou = common / (_areas(a) + _areas(b) - common)
    any_cut = np.logical_or.outer(cut[ours].any(axis=1), cut[theirs].any(axis=1))
    agreement = np.where(any_cut, common / np.minimum(_areas(a), _areas(b)), iou)
    for k, m in np.argwhere(agreement >= same):
        yield float(iou[k, m]), int(ours[k]), int(theirs[m])


def _meeting(
    axis: int,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    boxes: NDArray[np.float64],
    cut: NDArray[np.bool_],
    same: float,
) -> Iterator[tuple[float, int, int]]:
    """Fragments that face each other over a border across ``axis``, by IoU along it, after all that agree by area."""
    before, after = before[cut[before, axis + 2]], after[cut[after, axis]]
    a, b = boxes[before][:, None], boxes[after][None]
    along = 1 - axis
    common = np.minimum(a[..., along + 2], b[..., along + 2]) - np.maximum(a[..., along], b[..., along])
    whole = np.maximum(a[..., along + 2], b[..., along + 2]) - np.minimum(a[..., along], b[..., along])
    touching = b[..., axis] - a[..., axis + 2] <= 2 * BORDER
    touching &= (a[..., axis] <= b[..., axis]) & (a[..., axis + 2] <= b[..., axis + 2])
    for k, m in np.argwhere(touching & (common >= same * whole)):
        yield float(common[k, m] / whole[k, m]) - 2, int(before[k]), int(after[m])


def _clipped(boxes: NDArray[np.float64], window: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.concatenate([np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])], axis=1)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1)
    return areas


def _seen_whole(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], cut: NDArray[np.bool_], members: Sequence[int]
) -> tuple[NDArray[np.float64], float]:
    """Box and score of an object, from one box of each tile that saw it."""
    best_first = sorted(members, key=lambda index: -scores[index])
    whole = [index for index in best_first if not cut[index].any()]
    if whole:
        return boxes[whole[0]], float(scores[whole[0]])
    union = np.concatenate([boxes[best_first, :2].min(axis=0), boxes[best_first, 2:].max(axis=0)])
    box = union.copy()
    for side in range(4):
        if shown := [index for index in best_first if not cut[index, side]]:
            box[side] = boxes[shown[0], side]
    # sides of fragments that hardly agree may pass each other
    fits = (box[2:] > box[:2]).all() and 2 * _areas(box) >= _areas(union)
    return (box if fits else union), float(scores[best_first[0]])
