from itertools import pairwise

import numpy as np
import pytest

from oil_storage.tiling import cut_boxes, tile_grid, tile_origins, visible_share


def random_boxes(rng: np.random.Generator, number: int, width: int, height: int) -> np.ndarray:
    corners = rng.uniform((0, 0), (width - 1, height - 1), (number, 2))
    sides = rng.uniform(1, 100, (number, 2))
    return np.hstack([corners, np.minimum(corners + sides, (width, height))]).astype(np.float32)


@pytest.mark.parametrize(("tile", "overlap"), [(640, 64), (640, 0), (7, 6)])
def test_tiles_cover_a_side_with_at_least_the_overlap(tile: int, overlap: int) -> None:
    for length in (1, 6, 639, 640, 641, 2560, 3001):
        starts = tile_origins(length, tile, overlap)
        covered = np.zeros(length, dtype=bool)
        for start in starts:
            assert start >= 0
            assert start + min(tile, length) <= length
            covered[start : start + tile] = True
        assert covered.all()
        assert all(0 < after - before <= tile - overlap for before, after in pairwise(starts))


def test_tiles_of_640_px_give_25_tiles_per_scene() -> None:
    assert len(tile_grid(2560, 2560, 640, 64)) == 25
    assert len(tile_grid(2560, 2560, 1280, 0)) == 4


@pytest.mark.parametrize(("tile", "overlap"), [(640, 640), (640, -1), (0, 0)])
def test_an_impossible_overlap_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        tile_origins(2560, tile, overlap)


def test_cut_boxes_lie_inside_the_original_boxes() -> None:
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 300, 1500, 1100)
    seen_whole = np.zeros(len(boxes), dtype=bool)
    for window in tile_grid(1500, 1100, 400, 110):
        cut, indices = cut_boxes(boxes, window)
        back = cut + np.tile(window[:2], 2)
        assert (back[:, :2] >= boxes[indices, :2] - 1e-3).all()
        assert (back[:, 2:] <= boxes[indices, 2:] + 1e-3).all()
        assert (cut >= 0).all()
        assert (cut <= np.tile(window[2:] - window[:2], 2)).all()
        seen_whole[indices] |= np.isclose(back, boxes[indices], atol=1e-3).all(axis=1)
    # sides are at most 100 px, the overlap is 110: some tile sees each box whole
    assert seen_whole.all()


def test_a_box_is_kept_from_30_percent_of_its_area() -> None:
    window = np.array([0, 0, 100, 100])
    boxes = np.array([[93, 0, 103, 10], [97, 0, 107, 10], [98, 0, 108, 10], [200, 0, 210, 10]], dtype=np.float32)
    assert visible_share(boxes, window) == pytest.approx([0.7, 0.3, 0.2, 0.0])
    cut, indices = cut_boxes(boxes, window)
    assert indices.tolist() == [0, 1]
    assert cut.tolist() == [[93, 0, 100, 10], [97, 0, 100, 10]]


def test_cut_boxes_accepts_no_boxes() -> None:
    cut, indices = cut_boxes(np.zeros((0, 4), np.float32), np.array([0, 0, 10, 10]))
    assert cut.shape == (0, 4)
    assert indices.shape == (0,)
