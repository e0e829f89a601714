import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from oil_storage.coco import CocoFile, CocoImage
from oil_storage.engine.scene_metric import SceneMetric
from oil_storage.tiling import cut_boxes, tile_grid

WIDTH, HEIGHT, TILE, OVERLAP = 900, 700, 300, 60


def metric_of(tiles: Path, scenes: Path) -> SceneMetric:
    metric = SceneMetric()
    metric.dataset_meta = {"ground_truth": {"tiles": str(tiles), "scenes": str(scenes)}}
    return metric


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, Path, list[dict[str, object]]]:
    """Return the COCO files of tiles and scenes, and perfect predictions of the tiles."""
    rng = np.random.default_rng(0)
    tiles: list[CocoImage] = []
    boxes_of_tiles, scenes = [], []
    for name in ("first_1", "second"):
        grid = np.stack(np.meshgrid(np.arange(20, WIDTH - 60, 61), np.arange(20, HEIGHT - 60, 61)), -1).reshape(-1, 2)
        boxes = np.hstack([grid, grid + rng.integers(5, 55, grid.shape)]).astype(np.float32)
        scenes.append(boxes)
        for window in tile_grid(WIDTH, HEIGHT, TILE, OVERLAP):
            x1, y1, x2, y2 = window.tolist()
            tiles.append(CocoImage(len(tiles) + 1, f"{name}_{x1}_{y1}.jpg", x2 - x1, y2 - y1, name))
            boxes_of_tiles.append(cut_boxes(boxes, window)[0])
    images = [CocoImage(number, f"{name}.tif", WIDTH, HEIGHT) for number, name in enumerate(("first_1", "second"), 1)]
    tiles_path, scenes_path = tmp_path / "tiles.json", tmp_path / "scenes.json"
    CocoFile.of_boxes(tiles, boxes_of_tiles).save(tiles_path)
    CocoFile.of_boxes(images, scenes).save(scenes_path)
    samples: list[dict[str, object]] = [
        {"img_id": number, "pred_instances": {"bboxes": torch.tensor(boxes), "scores": torch.full((len(boxes),), 0.9)}}
        for number, boxes in enumerate(boxes_of_tiles, start=1)
    ]
    return tiles_path, scenes_path, samples


def test_perfect_tiles_give_perfect_scenes(prepared: tuple[Path, Path, list[dict[str, object]]]) -> None:
    tiles, scenes, samples = prepared
    metric = metric_of(tiles, scenes)
    metric.process(None, samples[:3])
    metric.process(None, samples[3:])
    figures = metric.evaluate(len(samples))
    assert (figures["scene/ap"], figures["scene/ap50"], figures["scene/ar"]) == pytest.approx((1, 1, 1))
    assert [scene.scene_id for scene in metric.merged] == ["first_1", "second"]
    for scene in metric.merged:
        assert len(scene.boxes) == len(scene.truth) > 100
        assert scene.windows is not None
        assert len(scene.windows) == len(tile_grid(WIDTH, HEIGHT, TILE, OVERLAP))


def test_scenes_do_not_depend_on_the_order_of_tiles(prepared: tuple[Path, Path, list[dict[str, object]]]) -> None:
    tiles, scenes, samples = prepared
    merged = []
    for order in (samples, samples[::-1]):
        metric = metric_of(tiles, scenes)
        metric.process(None, order)
        metric.evaluate(len(samples))
        merged.append([np.unique(scene.boxes, axis=0).tolist() for scene in metric.merged])
    assert merged[0] == merged[1]


@pytest.mark.slow
def test_merging_and_scoring_use_little_memory(tmp_path: Path) -> None:
    side, tile, number = 2560, 640, 20
    windows = tile_grid(side, side, tile, 64)
    names = [f"scene_{index}" for index in range(number)]
    tiles = [
        CocoImage(number, f"{name}_{x}_{y}.jpg", tile, tile, name)
        for number, (name, (x, y, *_)) in enumerate(itertools.product(names, windows.tolist()), 1)
    ]
    images = [CocoImage(number, f"{name}.jpg", side, side) for number, name in enumerate(names, 1)]
    for path, entries in ((tmp_path / "tiles.json", tiles), (tmp_path / "scenes.json", images)):
        CocoFile(entries, []).save(path)
    metric = metric_of(tmp_path / "tiles.json", tmp_path / "scenes.json")
    rng = np.random.default_rng(0)
    results = []
    for image_id in range(1, len(tiles) + 1):
        corners = rng.uniform(0, tile - 40, (1000 // len(windows), 2)).astype(np.float32)
        results.append((image_id, np.hstack([corners, corners + 30]), rng.random(len(corners)).astype(np.float32)))
    tracemalloc.start()
    metric.compute_metrics(results)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26  # bytes
