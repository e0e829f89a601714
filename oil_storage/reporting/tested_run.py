"""A run as its score left it: figures, detections and ground truth, read back and found to belong together."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError
from oil_storage.evaluation.curves import at_threshold
from oil_storage.evaluation.detections_file import read_detections
from oil_storage.evaluation.matching import Matched, match_scenes
from oil_storage.evaluation.scene_metric import read_scenes
from oil_storage.evaluation.scene_result import truth_sha256
from oil_storage.reporting.results import damage_named
from oil_storage.reporting.score_files import DETECTIONS, METRICS, TRUTH

ROUNDING = 2e-3
"""Of an F1: boxes are written as corner and sides, and one at the brink of IoU 0.5 may fall on the other side."""


@dataclass(frozen=True)
class TestedRun:
    """A run's score.

    Attributes:
        folder: as named by the user.
        scenes: its detections beside the ground truth.
        truth: :func:`oil_storage.evaluation.scene_result.truth_sha256` of the ground truth.
        figures: of :func:`oil_storage.evaluation.scene_score.score_scenes`.
        config: name of the config; of another tool's detections that of the folder of their score.
        experiment: equal for runs that differ in their seed or fold alone.
        tiles: tile size and overlap, ``640_64``; None where the scenes were looked at in another way.
        tile_ap: AP of tiles; None where there is none.
        chosen_here: whether the score threshold is the best for these very scenes.
        trained: what the checkpoint tells, see :func:`oil_storage.checkpoints.provenance.describe`; may be empty.
    """

    folder: Path
    scenes: list[Matched]
    truth: str
    figures: Mapping[str, Any]
    config: str
    experiment: tuple[str, ...]
    tiles: str | None
    tile_ap: float | None
    chosen_here: bool
    trained: Mapping[str, Any]


def read_run(folder: Path, split: str) -> TestedRun:
    """Read what ``tools/test.py`` has left of a run, or ``tools/evaluate.py`` of another tool's detections.

    Args:
        folder: work dir of a tested run, or ``--out`` of ``tools/evaluate.py``.
        split: ``val`` or ``test``.

    Raises:
        UserError: the run was not tested on that split, or with flips merged, or by an earlier version, its data is
            gone, its threshold was chosen on the test split, or its figures, detections and data do not belong
            together.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name a tested run's work dir, or --out of tools/evaluate.py")
    if (folder / TRUTH).is_file() and not (folder / split / METRICS).is_file():
        return _evaluated(folder, split)
    path, again = folder / split / METRICS, f"run tools/test.py with --split {split} --work-dir {folder}"
    tested = _load(path, again)
    with damage_named(path, again):
        told_split, tta, trained = tested["split"], tested["tta"], tested["trained"] or {}
        truth = Path(tested["data_root"], "scenes", f"{split}.json")
        config, tiles, tile_ap = Path(tested["config"]).stem, str(tested["tiles"]), tested["metrics"]["coco/bbox_mAP"]
        recipe = trained["recipe_sha256"] if trained else str(folder.resolve())
        experiment = (config, tiles, recipe, str(trained.get("initialised")), *tested["changes"], tested["precision"])
        figures = dict(tested["scenes"])
    if told_split != split or tta:
        raise UserError(f"{path}: scores the {told_split} split{', flips merged' if tta else ''}; {again}")
    if not truth.is_file():
        raise UserError(f"{truth}: no such file, though {path} was scored on it; prepare the data again")
    scenes = _scenes(path, figures, truth, again)
    digest = truth_sha256(one.result for one in scenes)
    here = split == "val"  # where tools/test.py chooses it
    return TestedRun(folder, scenes, digest, figures, config, experiment, tiles, tile_ap, here, trained)


def _evaluated(folder: Path, split: str) -> TestedRun:
    path, again = folder / METRICS, f"run tools/evaluate.py again with --out {folder}"
    figures = _load(path, again)
    with damage_named(path, again):
        given = figures["threshold_is"] == "given"
    if split == "test" and not given:
        raise UserError(f"{path}: its score threshold was chosen on these very scenes; {again} and --score-thr")
    scenes = _scenes(path, figures, folder / TRUTH, again)
    digest = truth_sha256(one.result for one in scenes)
    own = (str(folder.resolve()),)
    return TestedRun(folder, scenes, digest, figures, folder.resolve().name, own, None, None, not given, {})


def _load(path: Path, again: str) -> dict[str, Any]:
    for needed in (path, path.with_name(DETECTIONS)):
        if not needed.is_file():
            raise UserError(f"{needed}: no such file; {again}")
    with damage_named(path, again):
        return dict(json.loads(path.read_text(encoding="utf-8")))


def _scenes(path: Path, figures: Mapping[str, Any], truth: Path, again: str) -> list[Matched]:
    """Detections beside the ground truth, if they give the F1 that is told."""
    with damage_named(path, again):
        threshold, told = float(figures["threshold"]), float(figures["f1"])
        for key in ("ap", "ap50", "f1"):
            low, high = figures["intervals"][key]
            _ = [float(value) for value in (figures[key], low, high) if value is not None]
    detections = read_detections(path.with_name(DETECTIONS), {}, {})
    scenes = []
    for name, scene in read_scenes(truth).items():
        boxes, scores = detections.get(name, (scene.boxes, scene.scores))
        scenes.append(replace(scene, boxes=boxes, scores=scores))
    matched = match_scenes(scenes)
    found = at_threshold(matched, threshold).f1
    if abs(found - told) > ROUNDING:
        raise UserError(
            f"{path}: tells an F1 of {told:.3f}, but {DETECTIONS} and {truth} give {found:.3f}: they are not of one "
            f"test; {again}"
        )
    return matched
