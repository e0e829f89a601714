"""Write the files of a scored run, and read them to compare runs."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oil_storage.coco import CocoFile
from oil_storage.errors import UserError
from oil_storage.evaluation.curves import at_threshold
from oil_storage.evaluation.detections_file import read_detections
from oil_storage.evaluation.ground_truth import GroundTruth, read_coco, with_detections
from oil_storage.evaluation.matching import Matched, SceneResult, match_scenes, truth_sha256
from oil_storage.evaluation.outcomes import Outcomes, TestOutcomes
from oil_storage.evaluation.scene_score import coco_detections, coco_truth
from oil_storage.figures import EvaluationRecord, Figures, TestRecord, TrainedBy, metric_key
from oil_storage.files import write_text
from oil_storage.imagery import DEFAULT_READING, Reading
from oil_storage.merging import Detections
from oil_storage.reporting.formatting import shown
from oil_storage.reporting.results import OUTCOMES
from oil_storage.reporting.score_report import PictureOf, from_tiles, write_report

METRICS, DETECTIONS, TRUTH = "metrics.json", "detections.json", "ground_truth.json"
"""Files of a scored run. Only ``tools/evaluate.py`` writes ``TRUTH``.

The ground truth of ``tools/test.py`` is in the prepared data.
"""
TILE_DETECTIONS = "tile_detections.json"
"""COCO results of tiles, written by ``tools/test.py``. The COCO JSON file of the tiles defines the image ids."""
ROUNDING = 2e-3
"""Tolerance for F1. Boxes are rounded in the files, which can move an IoU across the limit of 0.5."""


def write_tested(
    folder: Path,
    record: TestRecord,
    scenes: Sequence[Matched],
    tile_detections: Sequence[dict[str, Any]],
    tiles: CocoFile,
    tile_folder: Path,
) -> None:
    """Write the results of ``tools/test.py`` into a folder; see :class:`oil_storage.inference.testing.Tested`."""
    (folder / METRICS).unlink(missing_ok=True)  # this marks the files of an earlier test as incomplete
    coco_detections([scene.result for scene in scenes]).save(folder / DETECTIONS)
    write_text(folder / TILE_DETECTIONS, json.dumps(tile_detections))
    threshold = record.scenes.threshold or 0.0
    outcomes = tile_outcomes(tiles, tile_detections, threshold), Outcomes.of(scenes, threshold)
    TestOutcomes(*outcomes).save(folder / OUTCOMES)
    title = f"{Path(record.config).stem}, {record.split} split"
    write_report(folder, title, _facts(record), scenes, record.scenes, from_tiles(tile_folder, scenes))
    record.save(folder / METRICS)  # last, so that its presence means that all files are complete


def tile_outcomes(tiles: CocoFile, detections: Sequence[dict[str, Any]], threshold: float) -> Outcomes:
    """Match the detections of tiles, and collect their outcomes by scene.

    Args:
        tiles: tiles and their ground truth.
        detections: COCO results with the image ids of ``tiles``.
        threshold: see :meth:`Outcomes.of`.
    """
    truth: dict[Any, list[tuple[float, ...]]] = defaultdict(list)
    found: dict[Any, list[tuple[float, ...]]] = defaultdict(list)
    for annotation in tiles.annotations:
        truth[annotation.image_id].append(annotation.box)
    for detection in detections:
        x, y, width, height = detection["bbox"]
        found[detection["image_id"]].append((x, y, x + width, y + height, detection["score"]))
    matched = []
    for tile in tiles.images:
        boxes = np.array(found[tile.id], np.float32).reshape(-1, 5)
        objects = np.array(truth[tile.id], np.float32).reshape(-1, 4)
        size = tile.width or 0, tile.height or 0
        matched.append(Matched(SceneResult(tile.file_name, *size, objects, boxes[:, :4], boxes[:, 4])))
    return Outcomes.of(matched, threshold, [str(tile.scene_id) for tile in tiles.images])


def _facts(record: TestRecord) -> dict[str, str]:
    data, by = record.data, record.trained
    return {
        "config": record.config,
        "checkpoint": f"{record.checkpoint} (SHA-256 {record.checkpoint_sha256[:12]})",
        "training": f"{by.iterations} iterations from {by.initialised or 'unknown weights'}, seed {by.seed}, commit "
        f"{by.commit}, on {by.hardware}"
        if by
        else "not recorded in the checkpoint",
        "data": f"{data.name}, {record.split} split of seed {data.split_seed} (SHA-256 {data.sha256[:12]})",
        "AP of tiles": f"{shown(record.metrics[metric_key('mAP')])}; AP of tiles minus AP of scenes: "
        f"{shown(record.tiles_ap_minus_scenes_ap)}",
        "inference": f"{record.precision}{', two views of each tile merged' if record.tta else ''}",
    }


def write_evaluated(
    folder: Path,
    record: EvaluationRecord,
    scenes: Sequence[Matched],
    picture_of: PictureOf,
    reading: Reading = DEFAULT_READING,
) -> None:
    """Create a folder, and write the results of ``tools/evaluate.py``; see :func:`write_report`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS).unlink(missing_ok=True)
    results = [scene.result for scene in scenes]
    coco_detections(results).save(folder / DETECTIONS)
    coco_truth(results).save(folder / TRUTH)
    facts = {
        "detections": record.detections,
        "ground truth": f"{record.ground_truth} (SHA-256 {record.ground_truth_sha256[:12]})",
        "score threshold": record.threshold_is,
    }
    write_report(folder, Path(record.detections).name, facts, scenes, record, picture_of, reading)
    record.save(folder / METRICS)


@dataclass(frozen=True)
class ScoredRun:
    """Scored run, read from its files.

    Attributes:
        folder: folder as the user named it.
        scenes: detections matched to the ground truth.
        figures: figures of the scenes, with a score threshold.
        config: name of the config, or of the folder for another tool's detections.
        experiment: key of the experiment. It is equal for runs that differ only in seed or fold.
        chosen_here: whether the score threshold was chosen on these scenes.
        tiles: tile size and overlap, as ``640_64``; None for another tool's detections.
        tile_ap: AP of tiles; None for another tool's detections.
        trained: description of the training; None if unknown.
    """

    folder: Path
    scenes: list[Matched]
    figures: Figures
    config: str
    experiment: tuple[str, ...]
    chosen_here: bool
    tiles: str | None = None
    tile_ap: float | None = None
    trained: TrainedBy | None = None

    @property
    def truth(self) -> str:
        """Hash of the ground truth; see :func:`oil_storage.evaluation.matching.truth_sha256`."""
        return truth_sha256(scene.result for scene in self.scenes)


def read_run(folder: Path, split: str) -> ScoredRun:
    """Read a scored run.

    Args:
        folder: work dir of a tested run, or ``--out`` of ``tools/evaluate.py``.
        split: ``val`` or ``test``.

    Raises:
        UserError: the run was not tested on this split, was tested with two views, or has a threshold that was chosen
            on the test split. Files that are missing or do not fit together also raise this error.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; use the work dir of a tested run, or --out of tools/evaluate.py")
    if (folder / TRUTH).is_file() and not (folder / split / METRICS).is_file():
        return _read_evaluated(folder, split)
    path, again = folder / split / METRICS, f"run tools/test.py with --split {split} --work-dir {folder}"
    _check_complete(path, again)
    record = TestRecord.load(path)
    truth = Path(record.data_root, "scenes", f"{split}.json")
    if record.split != split or record.tta:
        views = " with two views of each tile" if record.tta else ""
        raise UserError(f"{path}: the test used the {record.split} split{views}; {again}, without --tta")
    if not truth.is_file():
        raise UserError(f"{truth}: no such file, but {path} was scored on it; prepare the data again")
    scenes = _read_scenes(path, record.scenes, truth, again)
    config, trained = Path(record.config).stem, record.trained
    recipe = (trained.recipe_sha256, str(trained.initialised)) if trained else (str(folder.resolve()),)
    experiment = (config, record.tiles, *recipe, *record.changes, record.precision)
    tile_ap = record.metrics[metric_key("mAP")]
    chosen_here = split == "val"  # tools/test.py chooses the threshold on val
    return ScoredRun(folder, scenes, record.scenes, config, experiment, chosen_here, record.tiles, tile_ap, trained)


def _read_evaluated(folder: Path, split: str) -> ScoredRun:
    path, again = folder / METRICS, f"run tools/evaluate.py again with --out {folder}"
    _check_complete(path, again)
    record = EvaluationRecord.load(path)
    is_given = record.threshold_is == "given"
    if split == "test" and not is_given:
        raise UserError(f"{path}: the score threshold was chosen on these scenes; {again} and --score-thr")
    scenes = _read_scenes(path, record, folder / TRUTH, again)
    whole = folder.resolve()
    return ScoredRun(folder, scenes, record, whole.name, (str(whole),), chosen_here=not is_given)


def _check_complete(path: Path, again: str) -> None:
    for needed in (path, path.with_name(DETECTIONS)):
        if not needed.is_file():
            raise UserError(f"{needed}: no such file; {again}")


def _read_scenes(path: Path, figures: Figures, truth: Path, again: str) -> list[Matched]:
    """Read detections and ground truth, and check that their F1 is the stored F1."""
    if figures.threshold is None or figures.f1 is None:
        raise UserError(f"{path}: has no F1; choose a score threshold on val, then {again}")
    detections = read_detections(path.with_name(DETECTIONS), GroundTruth({}))
    scenes = read_coco(truth).scenes
    by_scene = {name: detections.get(name, Detections(scene.boxes, scene.scores)) for name, scene in scenes.items()}
    matched = match_scenes(with_detections(scenes, by_scene, path))
    f1 = at_threshold(matched, figures.threshold).f1
    if abs(f1 - figures.f1) > ROUNDING:
        raise UserError(
            f"{path}: has F1 {figures.f1:.3f}, but {DETECTIONS} and {truth} give {f1:.3f}, so the files are from "
            f"different tests; {again}"
        )
    return matched
