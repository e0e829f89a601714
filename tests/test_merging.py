import numpy as np
import pytest

from oil_storage.iou import iou_matrix
from oil_storage.merging import Detections, merge_tiles
from oil_storage.tiling import cut_boxes, tile_grid
from tests.test_tiling import random_boxes


def apart(rng: np.random.Generator, number: int, width: int, height: int, gap: float = 4) -> np.ndarray:
    """Return separate boxes of 2 to 60 px, half of them with integer coordinates."""
    placed: list[np.ndarray] = []
    for _ in range(3 * number):
        sides = np.minimum(rng.uniform(2, 60, 2), (width, height))
        corner = rng.uniform((0, 0), np.maximum((width, height) - sides, 1e-3))
        box = np.concatenate([corner, corner + sides])
        box = box.round() if rng.random() < 0.5 else box
        if (box[2:] - box[:2]).min() >= 2 and all(
            (box[:2] >= other[2:] + gap).any() or (box[2:] <= other[:2] - gap).any() for other in placed
        ):
            placed.append(box)
    return np.array(placed, np.float32).reshape(-1, 4)


def seen_by_tiles(
    rng: np.random.Generator, boxes: np.ndarray, width: int, height: int, tile: int, overlap: int, visible: float
) -> tuple[np.ndarray, list[Detections]]:
    windows = tile_grid(width, height, tile, overlap)
    tiles = []
    for window in windows:
        cut, _ = cut_boxes(boxes, window, visible)
        cut = rng.permutation(cut[((cut[:, 2:] - cut[:, :2]) > 0).all(axis=1)])
        tiles.append(Detections(cut, rng.uniform(0.1, 1, len(cut)).astype(np.float32)))
    return windows, tiles


@pytest.mark.parametrize(("tile", "overlap"), [(64, 0), (64, 1), (64, 16), (64, 48), (37, 5), (640, 64)])
def test_perfect_detections_merge_into_the_boxes_of_the_scene(tile: int, overlap: int) -> None:
    rng = np.random.default_rng(0)
    width, height = (int(side) for side in rng.integers(20, 400, 2))
    boxes = apart(rng, 60, width, height)
    windows, tiles = seen_by_tiles(rng, boxes, width, height, tile, overlap, 1e-6)
    merged = merge_tiles(windows, tiles, width, height)
    assert len(merged.boxes) == len(boxes)
    assert (np.diff(merged.scores) <= 0).all()
    best = iou_matrix(boxes, merged.boxes).max(axis=1)
    assert (best >= 0.7).all()
    assert best[((boxes[:, 2:] - boxes[:, :2]) <= overlap).all(axis=1)] == pytest.approx(1.0, abs=1e-4)


def test_crowded_boxes_are_not_merged() -> None:
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 400, 900, 700)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= 3).all(axis=1)]
    assert np.triu(iou_matrix(boxes, boxes), 1).max() > 0.6
    windows, tiles = seen_by_tiles(rng, boxes, 900, 700, 400, 120, 1e-6)
    merged = merge_tiles(windows, tiles, 900, 700)
    assert len(merged.boxes) >= 0.98 * len(boxes)
    assert np.mean(iou_matrix(boxes, merged.boxes).max(axis=1) > 0.999) >= 0.98


def test_boxes_of_one_tile_are_never_merged() -> None:
    twice = Detections(np.array([[10, 10, 30, 30], [10, 10, 30, 30]], np.float32), np.array([0.9, 0.8], np.float32))
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    windows = tile_grid(150, 100, 100, 50)
    assert len(merge_tiles(windows, [twice, none], 150, 100).boxes) == 2
    # nor by way of another tile's
    other = Detections(np.array([[10, 10, 30, 30]], np.float32), np.ones(1, np.float32))
    shifted = Detections(twice.boxes + np.array([50, 0, 50, 0], np.float32), twice.scores)
    assert len(merge_tiles(windows, [shifted, other], 150, 100).boxes) == 2


def test_a_complete_box_replaces_fragments_and_their_scores() -> None:
    windows = tile_grid(150, 100, 100, 50)
    fragment = Detections(np.array([[88, 40, 100, 60]], np.float32), np.array([0.95], np.float32))
    whole = Detections(np.array([[37, 39, 58, 61]], np.float32), np.array([0.6], np.float32))
    merged = merge_tiles(windows, [fragment, whole], 150, 100)
    assert merged.boxes.tolist() == [[87, 39, 108, 61]]
    assert merged.scores.tolist() == pytest.approx([0.6])


def test_fragments_without_a_complete_box_are_stitched() -> None:
    windows = tile_grid(200, 100, 100, 0)
    left = Detections(np.array([[80, 40, 99, 60]], np.float32), np.array([0.5], np.float32))
    right = Detections(np.array([[0.5, 41, 21, 61]], np.float32), np.array([0.7], np.float32))
    merged = merge_tiles(windows, [left, right], 200, 100)
    assert merged.boxes.tolist() == [[80, 41, 121, 61]]
    # two that do not lie alike along the border are two
    lower = Detections(right.boxes + np.array([0, 15, 0, 15], np.float32), right.scores)
    assert len(merge_tiles(windows, [left, lower], 200, 100).boxes) == 2


@pytest.mark.parametrize(("tile", "overlap"), [(640, 64), (640, 0), (256, 32)])
def test_inexact_boxes_of_two_tiles_are_merged(tile: int, overlap: int) -> None:
    rng = np.random.default_rng(0)
    boxes = apart(rng, 150, 1500, 1300)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= 8).all(axis=1)]
    windows, tiles = seen_by_tiles(rng, boxes, 1500, 1300, tile, overlap, 0.3)
    off = [
        Detections((seen.boxes + rng.uniform(-1.5, 1.5, seen.boxes.shape)).astype(np.float32), seen.scores)
        for seen in tiles
    ]
    merged = merge_tiles(windows, off, 1500, 1300)
    assert len(boxes) <= len(merged.boxes) <= 1.02 * len(boxes)
    assert np.mean(iou_matrix(boxes, merged.boxes).max(axis=1) >= 0.5) > 0.98


@pytest.mark.parametrize("side", [6, 24, 90])
def test_a_tank_on_any_tile_border_is_found_once(side: int) -> None:
    rng = np.random.default_rng(0)
    size, tile, overlap = 1500, 640, 128
    edges = sorted({int(edge) for window in tile_grid(size, size, tile, overlap) for edge in window[[0, 2]]})
    assert edges == [0, 512, 640, 860, 1152, 1500]  # the last tiles overlap by more
    # before, across and behind each edge, off all edges, and where edges cross
    along = [edge + part * side for edge in edges[1:-1] for part in (-1.0, -0.7, -0.5, -0.3, 0.0)] + [200.0]
    for x in along:
        for y in along:
            box = np.array([[x, y, x + side, y + side]], np.float32)
            windows, tiles = seen_by_tiles(rng, box, size, size, tile, overlap, 0.3)
            off = [Detections(seen.boxes + np.float32(rng.uniform(-0.5, 0.5)), seen.scores) for seen in tiles]
            merged = merge_tiles(windows, off, size, size)
            assert len(merged.boxes) == 1, (x, y)
            assert iou_matrix(box, merged.boxes).item() > 0.7, (x, y)


@pytest.mark.slow
def test_objects_of_very_different_sizes_are_found_once() -> None:
    rng = np.random.default_rng(0)
    # most are of 3 px, so that one of 380 px reaches over thousands of the cells that are searched
    small = np.stack(np.meshgrid(np.arange(4, 1996, 13), np.arange(4, 700, 13)), axis=-1).reshape(-1, 2)
    large = np.array([[x, y, x + 380, y + 380] for x in range(10, 1600, 400) for y in (800, 1250)])
    boxes = np.concatenate([np.concatenate([small, small + 3], axis=1), large]).astype(np.float32)
    windows, tiles = seen_by_tiles(rng, boxes, 2000, 2000, 640, 128, 1e-6)
    merged = merge_tiles(windows, tiles, 2000, 2000)
    assert len(merged.boxes) == len(boxes)
    assert iou_matrix(boxes, merged.boxes).max(axis=1).min() > 0.6


def test_boxes_with_equal_scores_keep_the_order_of_their_tiles() -> None:
    boxes = [np.array([[10, 10 + 30 * k, 30, 30 + 30 * k] for k in range(20)], np.float32) for _ in range(2)]
    tiles = [Detections(boxes_of_tile, np.full(20, 0.5, np.float32)) for boxes_of_tile in boxes]
    merged = merge_tiles(tile_grid(1280, 640, 640, 0), tiles, 1280, 640)
    assert merged.boxes.tolist() == np.concatenate([boxes[0], boxes[1] + np.array([640, 0, 640, 0])]).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_stitched_boxes_have_a_positive_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = tile_grid(300, 300, 100, 40)
    tiles = []
    for window in windows:
        # long boxes, all of them cut, many at two sides
        size = np.tile(window[2:] - window[:2], 2)
        centres, sides = rng.uniform(0, 100, (30, 2)), rng.uniform(30, 150, (30, 2))
        boxes = np.clip(np.hstack([centres - sides / 2, centres + sides / 2]), 0, size).astype(np.float32)
        tiles.append(Detections(boxes, rng.uniform(0, 1, len(boxes)).astype(np.float32)))
    merged = merge_tiles(windows, tiles, 300, 300)
    assert len(merged.boxes) < 30 * len(windows)
    assert (merged.boxes[:, 2:] > merged.boxes[:, :2]).all()


@pytest.mark.parametrize(
    "odd", [[np.nan, 1, 2, 3], [5, 1, np.nan, 3], [1, 1, np.inf, 9], [50, 1, 20, 30], [5, 5, 5, 5]]
)
def test_a_degenerate_box_is_not_merged(odd: list[float]) -> None:
    boxes = np.array([odd, [560, 10, 580, 30]], np.float32)
    tiles = [
        Detections(boxes, np.array([0.9, 0.8], np.float32)),
        Detections(boxes[1:] - np.array([512, 0, 512, 0], np.float32), np.array([0.7], np.float32)),
    ]
    merged = merge_tiles(tile_grid(1152, 640, 640, 128), tiles, 1152, 640)
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8])
    assert merged.boxes[1].tolist() == [560, 10, 580, 30]


def test_merging_without_detections_gives_none() -> None:
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    merged = merge_tiles(tile_grid(200, 100, 100, 0), [none, none], 200, 100)
    assert merged.boxes.shape == (0, 4)
    assert merged.scores.shape == (0,)
