from pathlib import Path

import cv2
import numpy as np
import pytest

from oil_storage.errors import UserError
from oil_storage.inference.testing import TiledScene
from oil_storage.tiling import tile_grid


def test_a_scene_is_read_from_its_tiles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (150, 190, 3), np.uint8)
    tiles = {}
    for number, window in enumerate(tile_grid(190, 150, 64, 16)):
        x1, y1, x2, y2 = window.tolist()
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), scene[y1:y2, x1:x2, ::-1])
        tiles[path] = window
    tiled = TiledScene(190, 150, tiles)
    for x1, y1, x2, y2 in ((0, 0, 190, 150), (40, 30, 140, 130), (189, 149, 190, 150), (60, 60, 66, 66)):
        np.testing.assert_array_equal(tiled.read(np.array([x1, y1, x2, y2])), scene[y1:y2, x1:x2])


def test_ground_without_a_tile_is_black_and_a_missing_tile_is_named(tmp_path: Path) -> None:
    assert not TiledScene(50, 40, {}).read(np.array([10, 5, 30, 9])).any()
    tiled = TiledScene(50, 40, {tmp_path / "gone.png": np.array([0, 0, 50, 40])})
    with pytest.raises(UserError, match=r"gone\.png"):
        tiled.read(np.array([10, 5, 30, 9]))
