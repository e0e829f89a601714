"""Merge the detections of tiles into scenes, and score the scenes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from oil_storage.coco import CocoFile, CocoImage
from oil_storage.evaluation.ground_truth import read_coco
from oil_storage.evaluation.matching import SceneResult
from oil_storage.evaluation.scene_score import average_precisions
from oil_storage.merging import Detections, merge_tiles


@METRICS.register_module()
class SceneMetric(BaseMetric):
    """COCO's metrics of whole scenes, after tiles are merged. The keys are ``scene/ap``, ``scene/ap50`` and so on.

    ``metainfo["ground_truth"]`` of the data set has the paths of two COCO JSON files, ``tiles`` and ``scenes``.

    Attributes:
        merged: scenes with merged detections; set by :meth:`compute_metrics`.
        tile_detections: detections by image id of the tile, in pixels of the tile; set by :meth:`compute_metrics`.
    """

    default_prefix = "scene"

    merged: list[SceneResult]
    tile_detections: dict[int, Detections]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Store the detections of a batch of tiles."""
        for sample in data_samples:
            boxes, scores = (sample["pred_instances"][key].float().cpu().numpy() for key in ("bboxes", "scores"))
            has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # clipping can leave boxes without area
            self.results.append((sample["img_id"], boxes[has_area], scores[has_area]))

    def compute_metrics(self, results: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, float]:
        """Merge the detections of tiles into scenes, and score the scenes.

        Args:
            results: image id, boxes and scores of each tile, from all processes.
        """
        self.tile_detections = {image_id: Detections(boxes, scores) for image_id, boxes, scores in results}
        scenes = read_coco(Path(self.dataset_meta["ground_truth"]["scenes"])).scenes
        tiles_of = defaultdict(list)
        for tile in CocoFile.load(Path(self.dataset_meta["ground_truth"]["tiles"])).images:
            if tile.id in self.tile_detections:
                tiles_of[str(tile.scene_id)].append((window_of(tile), self.tile_detections[tile.id]))
        self.merged = [merge(scenes[scene_id], tiles) for scene_id, tiles in sorted(tiles_of.items())]
        return average_precisions(self.merged)


def merge(scene: SceneResult, tiles: Sequence[tuple[NDArray[np.int64], Detections]]) -> SceneResult:
    """Merge the detections of tiles and add them to a scene. A tile is a pair of its window ``(4,)`` and detections."""
    windows = np.stack([window for window, _ in tiles])
    boxes, scores = merge_tiles(windows, [detections for _, detections in tiles], scene.width, scene.height)
    return replace(scene, boxes=boxes, scores=scores, windows=windows)


def window_of(tile: CocoImage) -> NDArray[np.int64]:
    """Return the window of a tile, ``(4,)`` xyxy, in pixels of the scene. Its file name ends in ``_<x>_<y>``."""
    _, x, y = Path(tile.file_name).stem.rsplit("_", 2)
    return np.array([int(x), int(y), int(x) + (tile.width or 0), int(y) + (tile.height or 0)])
