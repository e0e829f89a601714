"""Test a checkpoint: detect tanks in tiles, merge the detections of each scene, and score tiles and scenes."""

import copy
import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.evaluation import DumpDetResults
from mmengine.config import Config
from mmengine.dist import is_main_process
from numpy.typing import NDArray

from oil_storage.checkpoints.accuracy import ChosenThreshold
from oil_storage.checkpoints.checkpoint import Checkpoint, store_threshold
from oil_storage.checkpoints.serialization import SAFETENSORS
from oil_storage.checkpoints.trained_config import differences, recipe_sha256, schedule
from oil_storage.coco import CocoFile
from oil_storage.engine import distributed
from oil_storage.engine.allocator import keep_freed_memory
from oil_storage.engine.bf16 import compute_as_configured
from oil_storage.engine.config_values import check_values
from oil_storage.engine.from_scratch import from_scratch
from oil_storage.engine.runner import ConciseRunner, check_tiles, use_scope
from oil_storage.engine.scene_metric import SceneMetric, window_of
from oil_storage.engine.tta import use_tta
from oil_storage.errors import UserError
from oil_storage.evaluation.curves import curve
from oil_storage.evaluation.dense_coco import PUBLISHED_TILES, published_score, results_of
from oil_storage.evaluation.matching import Matched, SceneResult, match_scenes, truth_sha256
from oil_storage.evaluation.scene_score import average_precisions, score_scenes
from oil_storage.figures import TestRecord, TrainedBy, metric_key
from oil_storage.files import remove_partial, sha256
from oil_storage.imagery import read_pixels
from oil_storage.inference.isolation import lower_isolated
from oil_storage.inference.second_look import look_again
from oil_storage.inference.tile_detector import TileDetector
from oil_storage.inference.torch_detector import TorchDetector
from oil_storage.manifest import Manifest
from oil_storage.merging import Detections

PACKAGES = ("oil-storage", "torch", "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "faster-coco-eval", "numpy")
"""Packages whose versions are stored in a :class:`oil_storage.figures.TestRecord`."""
COMPARED = ("model", "test_dataloader.dataset", "test_evaluator", "test_cfg", "optim_wrapper.type")
"""Parts of a config that affect the metrics of a checkpoint."""
TILES_KEPT = 8
"""Number of decoded tiles that a scene keeps in memory."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tested:
    """Result of a test.

    Attributes:
        record: settings and metrics of the test.
        scenes: scenes with detections and ground truth.
        tile_detections: COCO results of the tiles, with the image ids of ``tiles``.
        tiles: tiles and their ground truth.
        tile_folder: folder with the images of the tiles.
    """

    record: TestRecord
    scenes: list[Matched]
    tile_detections: list[dict[str, Any]]
    tiles: CocoFile
    tile_folder: Path


def evaluate_checkpoint(
    cfg: Config,
    path: Path,
    *,
    split: str,
    tta: bool = False,
    launcher: str = "none",
    out: Path | None = None,
    options: Sequence[str] = (),
) -> Tested | None:
    """Test a checkpoint on a split. On ``val``, also choose the score threshold and store it in the checkpoint.

    The threshold is not stored in safetensors files, nor if the config differs from the config of the training.

    Args:
        cfg: see :func:`oil_storage.config.load`; changed in place.
        path: checkpoint, or weights in safetensors format.
        split: ``val`` or ``test``.
        tta: use test-time augmentation.
        launcher: ``none``, ``pytorch`` or ``slurm``.
        out: pickle file for the predictions.
        options: overrides that ``cfg`` already contains; they are only recorded.

    Returns:
        Tested | None: the result in the first process, None in the others.

    Raises:
        UserError: the checkpoint does not fit the config, was trained on these scenes, or the data are not prepared.
    """
    use_scope(cfg)
    check_values(cfg)
    keep_freed_memory()
    checkpoint = Checkpoint.read(path)
    distributed.prepare(cfg, launcher)
    trained, changes = compare_with_training(cfg, checkpoint)
    dataset = cfg.test_dataloader.dataset
    dataset.split = split
    check_tiles(cfg, "test_dataloader")
    data_root = Path(dataset.data_root)
    checkpoint.check_unseen(data_root, split)
    is_published = path.suffix.lower() == SAFETENSORS
    if options or not is_published:  # published weights may be older than the config in the repository
        for change in changes:
            logger.info("%s: differs from the config of the training: %s", cfg.filename, change)
    config_sha256 = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    cfg.work_dir = str(Path(cfg.work_dir, split))
    cfg.load_from, cfg.resume = str(path), False
    if tta:
        use_tta(cfg)
    remove_partial(Path(cfg.work_dir))

    runner = ConciseRunner.from_cfg(cfg)
    precision = compute_as_configured(runner.model, cfg)
    if cfg.optim_wrapper.type == "Bf16OptimWrapper" and precision == "float32":
        logger.warning("this device does not support bfloat16; testing in float32")
    scene_metric = SceneMetric()
    added = [scene_metric]
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        added.append(DumpDetResults(out_file_path=str(out)))
    for metric in added:
        metric.dataset_meta = runner.test_evaluator.dataset_meta
    runner.test_evaluator.metrics.extend(added)
    metrics = runner.test()
    if not is_main_process():
        return None
    ann_file = Path(scene_metric.dataset_meta["ground_truth"]["tiles"])
    tiles = CocoFile.load(ann_file)
    if not tta:
        detector = TorchDetector(copy.deepcopy(cfg), path, fast=False)
        scene_metric.merged = looked_again(scene_metric.merged, tiles, ann_file.with_suffix(""), detector)
        metrics |= {f"scene/{name}": value for name, value in average_precisions(scene_metric.merged).items()}
    scenes = match_scenes(scene_metric.merged)
    threshold = curve(scenes).best_threshold() if split == "val" else checkpoint.threshold(tta)
    figures = score_scenes(scenes, threshold)
    data = Manifest.load(data_root).identity
    if split == "val" and threshold is not None and not (changes or is_published):
        try:
            rates = {rate: point.threshold for rate, point in figures.false_alarms.items()}
            store_threshold(path, ChosenThreshold(threshold, figures.f1 or 0.0, data.sha256, rates), tta)
        except UserError as error:  # the metrics are still valid
            logger.warning(str(error))
    tile_set = f"{dataset.tile}_{dataset.overlap}"
    tile_detections = [
        result
        for tile, detections in sorted(scene_metric.tile_detections.items())
        for result in results_of(tile, detections)
    ]
    published = published_score(tiles.to_dict(), tile_detections) if tile_set == PUBLISHED_TILES else {}
    record = TestRecord(
        config=str(cfg.filename),
        config_sha256=config_sha256,
        packages={name: version(name) for name in PACKAGES},
        checkpoint=str(path),
        checkpoint_sha256=sha256(path),
        trained=trained,
        changes=changes,
        cfg_options=list(options),
        data_root=str(data_root),
        data=data,
        ground_truth_sha256=truth_sha256(scene_metric.merged),
        tiles=tile_set,
        split=split,
        tta=tta,
        precision=precision,
        metrics=metrics,
        published_protocol=dict(published),
        scenes=figures,
        tiles_ap_minus_scenes_ap=metrics[metric_key("mAP")] - metrics["scene/ap"],
    )
    return Tested(record, scenes, tile_detections, tiles, ann_file.with_suffix(""))


class TiledScene:
    """Scene that is read from its tiles. Ground between tiles is black.

    Args:
        width: width of the scene in pixels.
        height: height of the scene in pixels.
        tiles: image files of the tiles, with their windows ``(4,)`` xyxy in pixels of the scene.
    """

    def __init__(self, width: int, height: int, tiles: Mapping[Path, NDArray[np.int64]]) -> None:
        self.width, self.height, self.tiles = width, height, tiles
        self._pixels = lru_cache(maxsize=TILES_KEPT)(read_pixels)

    def read(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return a window, ``(4,)`` xyxy in pixels of the scene, as RGB ``(H, W, 3)``; ``least`` is ignored.

        Raises:
            UserError: a tile is missing or damaged.
        """
        pixels = np.zeros((*(window[3:1:-1] - window[1::-1]).tolist(), 3), np.uint8)
        for path, tile in self.tiles.items():
            x1, y1, x2, y2 = np.concatenate([np.maximum(window[:2], tile[:2]), np.minimum(window[2:], tile[2:])])
            if x1 < x2 and y1 < y2:
                shown = self._pixels(path)[y1 - tile[1] : y2 - tile[1], x1 - tile[0] : x2 - tile[0]]
                pixels[y1 - window[1] : y2 - window[1], x1 - window[0] : x2 - window[0]] = shown
        return pixels


def looked_again(
    scenes: Sequence[SceneResult], tiles: CocoFile, folder: Path, detector: TileDetector
) -> list[SceneResult]:
    """Search uncertain detections again and lower isolated ones, as :class:`SceneDetector` does."""

    def search(pixels: NDArray[np.uint8]) -> Detections:
        return detector.detect([detector.prepare(pixels)])[0]

    windows: dict[str | None, dict[Path, NDArray[np.int64]]] = defaultdict(dict)
    for tile in tiles.images:
        windows[tile.scene_id][folder / tile.file_name] = window_of(tile)
    results = []
    for scene in scenes:
        image = TiledScene(scene.width, scene.height, windows[scene.scene_id])
        found = Detections(scene.boxes, scene.scores)
        found = look_again(image, np.ones(4), found, search, detector.about.tile, detector.workers)
        boxes, scores = lower_isolated(found, (scene.width, scene.height), detector.about.gsd)
        results.append(replace(scene, boxes=boxes, scores=scores))
    return results


def compare_with_training(cfg: Config, checkpoint: Checkpoint) -> tuple[TrainedBy | None, list[str]]:
    """Return the provenance of a checkpoint, and how the test config differs from the training config.

    Args:
        cfg: config of the test, before split and test-time augmentation are set.
        checkpoint: checkpoint to test.

    Returns:
        tuple: the provenance (None if unknown), and the differences in model, tiles, evaluator and precision;
        see :func:`oil_storage.checkpoints.trained_config.differences`.
    """
    meta = checkpoint.meta
    if meta.trained is None:
        return None, []
    before, now = Config(checkpoint.trained_settings()), copy.deepcopy(cfg)
    trained = TrainedBy(
        **{key: value for key, value in asdict(meta.trained).items() if key in TrainedBy.model_fields},
        seed=meta.seed,
        iterations=meta.iter,
        **schedule(before, meta.iter or 0, meta.trained.processes),
        recipe_sha256=recipe_sha256(before),
    )
    for config in (before, now):
        from_scratch(config)  # frozen layers, initial weights and training settings do not affect a test
        config.model.pop("train_cfg", None)
    old, new = (
        {key: reduce(lambda node, name: node.get(name) or {}, key.split("."), config) for key in COMPARED}
        for config in (before, now)
    )
    return trained, list(differences(old, new))
