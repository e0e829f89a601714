"""Compare an 8-bit detector with its float32 version: accuracy on the val split, and time for a tile."""

import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from oil_storage.coco import CocoFile
from oil_storage.engine.scene_metric import merge, window_of
from oil_storage.evaluation import dense_coco
from oil_storage.evaluation.curves import at_threshold
from oil_storage.evaluation.ground_truth import read_coco
from oil_storage.evaluation.matching import match_scenes
from oil_storage.imagery import read_pixels
from oil_storage.inference.onnx_detector import OnnxDetector
from oil_storage.inference.testing import looked_again
from oil_storage.merging import Detections
from oil_storage.parallel import in_threads

MOST_AP_LOST, MOST_F1_LOST = 0.005, 0.003
"""Losses of tile AP and scene F1 below which the 8-bit version is accurate enough to be the default."""
TIMED = 9
"""Number of tiles that are timed."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on a split.

    Attributes:
        ap, ap50: COCO's metrics of the tiles.
        f1: F1 of the scenes at the threshold of the detector, after the second look.
    """

    ap: float
    ap50: float
    f1: float


@dataclass(frozen=True)
class Comparison:
    """Float32 and 8-bit version of a detector in one backend.

    Attributes:
        float32, int8: accuracy.
        seconds: CPU seconds for a tile, in float32 and in 8 bits.
    """

    float32: Accuracy
    int8: Accuracy
    seconds: list[float]

    @property
    def is_better(self) -> bool:
        """Whether the 8-bit version should be the default."""
        is_accurate = self.float32.ap - self.int8.ap < MOST_AP_LOST and self.float32.f1 - self.int8.f1 < MOST_F1_LOST
        return is_accurate and self.seconds[1] < self.seconds[0]


def accuracy(detector: OnnxDetector, data_root: Path, tile_set: str) -> Accuracy:
    """Measure the accuracy of a detector on the val split of a prepared folder.

    Args:
        detector: exported detector.
        data_root: prepared folder.
        tile_set: size and overlap of the tiles, e.g. ``640_64``.
    """
    folder = data_root / "tiles" / tile_set / "val"
    tiles = CocoFile.load(folder.with_suffix(".json"))
    scenes = read_coco(data_root / "scenes" / "val.json").scenes
    detect = partial(_detect, detector)
    found = list(in_threads(detect, ((folder / tile.file_name,) for tile in tiles.images), detector.workers))
    results = [
        result
        for tile, one in zip(tiles.images, found, strict=True)
        for result in dense_coco.results_of(int(tile.id), one)
    ]
    figures = dense_coco.score(tiles.to_dict(), results)
    by_scene = defaultdict(list)
    for tile, (boxes, scores) in zip(tiles.images, found, strict=True):
        has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        by_scene[str(tile.scene_id)].append((window_of(tile), Detections(boxes[has_area], scores[has_area])))
    merged = [merge(scenes[scene_id], parts) for scene_id, parts in sorted(by_scene.items())]
    matched = match_scenes(looked_again(merged, tiles, folder, detector))
    f1 = at_threshold(matched, detector.about.score_threshold or 0.0).f1
    return Accuracy(figures["mAP"], figures["mAP_50"], f1)


def _detect(detector: OnnxDetector, path: Path) -> Detections:
    (found,) = detector.detect([detector.prepare(read_pixels(path))])
    return found


def seconds_for_a_tile(*detectors: OnnxDetector) -> list[float]:
    """Return the median CPU seconds that each detector needs for a tile. The detectors take turns."""
    taken: list[list[float]] = [[] for _ in detectors]
    for _ in range(TIMED + 1):
        for detector, times in zip(detectors, taken, strict=True):
            tiles = detector.inputs(
                [detector.prepare(np.zeros((detector.about.tile, detector.about.tile, 3), np.uint8))]
            )
            begin = time.process_time()
            detector.network(tiles)
            times.append(time.process_time() - begin)
    return [float(np.median(times[1:])) for times in taken]  # the first call also allocates memory
