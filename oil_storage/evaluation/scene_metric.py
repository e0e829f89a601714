"""From the predictions of tiles to those of scenes, in the pass that scores the tiles."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from oil_storage.annotations.images import scene_name
from oil_storage.coco import CocoAnnotation, CocoFile, CocoImage
from oil_storage.errors import UserError
from oil_storage.evaluation.scene_result import SceneResult
from oil_storage.evaluation.scene_score import average_precisions
from oil_storage.merging import Detections, merge_tiles


@METRICS.register_module()
class SceneMetric(BaseMetric):
    """Merges tiles into scenes and scores these; keys are ``scene/ap``, ``scene/ap50`` and so on.

    Args:
        tiles: COCO json of the tiles, as ``tools/prepare_dataset.py`` writes it.
        scenes: COCO json of the scenes that they were cut from.
        **kwargs: of :class:`mmengine.evaluator.BaseMetric`.

    Attributes:
        merged: the scenes, after :meth:`compute_metrics`.
        found: detections of each tile by its image id, in pixels of the tile, after it.
    """

    default_prefix = "scene"

    def __init__(self, tiles: str, scenes: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenes = read_scenes(Path(scenes))
        images = CocoFile.load(Path(tiles)).images
        self.scene_of = {image.id: str(image.scene_id) for image in images}
        self.window_of = {image.id: window(image) for image in images}
        self.merged: list[SceneResult] = []
        self.found: dict[int, Detections] = {}

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
        tiles_of = defaultdict(list)
        for image_id, found in self.found.items():
            tiles_of[self.scene_of[image_id]].append((self.window_of[image_id], found))
        self.merged = [merge(self.scenes[scene_id], tiles) for scene_id, tiles in sorted(tiles_of.items())]
        return average_precisions(self.merged)


def merge(scene: SceneResult, tiles: Sequence[tuple[NDArray[np.int64], Detections]]) -> SceneResult:
    """The scene with what was found in its tiles."""
    windows = np.stack([each for each, _ in tiles])
    boxes, scores = merge_tiles(windows, [found for _, found in tiles], scene.width, scene.height)
    return SceneResult(scene.scene_id, scene.width, scene.height, scene.truth, boxes, scores, windows, scene.gsd)


def read_scenes(path: Path) -> dict[str, SceneResult]:
    """Scenes of a COCO json by the names of their files without suffix, nothing found in them yet.

    Raises:
        UserError: not COCO of one class, two images of one name or id, or a box that is no box of an object.
    """
    content = CocoFile.load(path)
    boxes: dict[int | str, list[tuple[float, ...]]] = {image.id: [] for image in content.images}
    if len(boxes) < len(content.images):
        raise UserError(f"{path}: {len(content.images)} images have {len(boxes)} ids; they must differ")
    if len(classes := {annotation.category_id for annotation in content.annotations}) > 1:
        raise UserError(f"{path}: has boxes of {len(classes)} categories; leave those of tanks alone")
    for index, annotation in enumerate(content.annotations):
        place = f"{path}: annotations[{index}]"
        if annotation.image_id not in boxes:
            raise UserError(f"{place}: image_id {annotation.image_id!r} is none of its images; remove it")
        boxes[annotation.image_id].append(_object(annotation, place))
    scenes = []
    for index, image in enumerate(content.images):
        if image.width is None or image.height is None:
            raise UserError(f"{path}: images[{index}]: has no width and height; state them in pixels")
        truth = np.array(boxes[image.id], np.float32).reshape(-1, 4)
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        scenes.append(SceneResult(scene_name(image.file_name), image.width, image.height, truth, *none, gsd=image.gsd))
    by_name = {scene.scene_id: scene for scene in scenes}
    if len(by_name) < len(scenes):
        raise UserError(f"{path}: {len(scenes)} images have {len(by_name)} names; they must differ, without suffix")
    return by_name


def _object(annotation: CocoAnnotation, place: str) -> tuple[float, ...]:
    """The box of an annotation, xyxy."""
    if not all(map(math.isfinite, annotation.bbox)):
        raise UserError(f"{place}: bbox {annotation.bbox} has numbers that are not finite; correct it")
    if min(annotation.bbox[2:]) <= 0 or annotation.iscrowd:
        raise UserError(
            f"{place}: {'a crowd' if annotation.iscrowd else 'a box without area'}, no object to find; remove it"
        )
    return annotation.box


def window(tile: CocoImage) -> NDArray[np.int64]:
    """Where a tile lies, ``(4,)`` xyxy, pixels of the scene; its file's name ends in ``_<x>_<y>``."""
    _, x, y = Path(tile.file_name).stem.rsplit("_", 2)
    return np.array([int(x), int(y), int(x) + (tile.width or 0), int(y) + (tile.height or 0)])
