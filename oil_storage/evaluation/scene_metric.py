"""Merge the predictions of tiles into scenes, in the pass that scores the tiles, and score the scenes."""

from collections import defaultdict
from collections.abc import Sequence
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
    """Merges tiles into scenes and scores these; keys are ``scene/ap``, ``scene/ap50`` and so on.

    The tiles and scenes are those of the COCO json files that the data set names in its ``metainfo["ground_truth"]``.

    Attributes:
        merged: the scenes, after :meth:`compute_metrics`.
        found: detections of each tile by its image id, in pixels of the tile, after it.
    """

    default_prefix = "scene"

    merged: list[SceneResult]
    found: dict[int, Detections]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the detections of a batch of tiles."""
        for sample in data_samples:
            found = sample["pred_instances"]
            boxes, scores = (found[key].float().cpu().numpy() for key in ("bboxes", "scores"))
            there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # what was clipped to nothing is in no scene
            self.results.append((sample["img_id"], boxes[there], scores[there]))

    def compute_metrics(self, results: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, float]:
        """Merge and score the predictions of all ranks."""
        self.found = {image_id: Detections(boxes, scores) for image_id, boxes, scores in results}
        scenes = read_coco(Path(self.dataset_meta["ground_truth"]["scenes"])).scenes
        tiles_of = defaultdict(list)
        for tile in CocoFile.load(Path(self.dataset_meta["ground_truth"]["tiles"])).images:
            if tile.id in self.found:
                tiles_of[str(tile.scene_id)].append((window(tile), self.found[tile.id]))
        self.merged = [merge(scenes[scene_id], tiles) for scene_id, tiles in sorted(tiles_of.items())]
        return average_precisions(self.merged)


def merge(scene: SceneResult, tiles: Sequence[tuple[NDArray[np.int64], Detections]]) -> SceneResult:
    """Merge the detections of a scene's tiles."""
    windows = np.stack([each for each, _ in tiles])
    boxes, scores = merge_tiles(windows, [found for _, found in tiles], scene.width, scene.height)
    return SceneResult(scene.scene_id, scene.width, scene.height, scene.truth, boxes, scores, windows, scene.gsd)


def window(tile: CocoImage) -> NDArray[np.int64]:
    """Return the window of a tile, ``(4,)`` xyxy, pixels of the scene; its file's name ends in ``_<x>_<y>``."""
    _, x, y = Path(tile.file_name).stem.rsplit("_", 2)
    return np.array([int(x), int(y), int(x) + (tile.width or 0), int(y) + (tile.height or 0)])
